"""A batch that is acknowledged and the fetch of what comes after it: one way to PostgreSQL, in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from publishers import outbox
from publishers.leases import Leases
from publishers.outbox import SURVEY, Row, Scan, Survey
from publishers.outcomes import Batch
from publishers.underway import Underway


class Turn:
    """
    Two transactions: the first lets go of a batch, the second fetches, and sees that it is gone.

    So events of the same shards may be asked for before it is known that the batch is acknowledged.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        batch: Batch,
        leases: Leases,
        scans: Sequence[Scan],
        stopped: frozenset[str],
    ) -> None:
        """
        Begin; all of the batch is published. Does not wait.

        :raises psycopg.OperationalError: if the connection is lost.
        """
        self.batch, self.scans = batch, scans
        self._underway = Underway(
            connection,
            [outbox.acknowledging(rows=batch.published, leases=leases)],
            [(SURVEY, {}), outbox.fetching(scans=scans, stopped=stopped)],
        )

    def look(self) -> None:
        """
        Take in what has come, without waiting.

        :raises psycopg.OperationalError: if the connection is lost.
        """
        self._underway.look()

    def end(self) -> tuple[int, Survey, list[Row]]:
        """
        Wait, and return how many were acknowledged, what a survey before the fetch found, and what was fetched.

        :raises psycopg.Error: if something failed; the acknowledgement may have been committed.
        """
        gone, survey, fetched = self._underway.results()
        (found,) = self._underway.rows(survey)
        rows = self._underway.rows(fetched, made=outbox.made)
        return sum(count for (count,) in self._underway.rows(gone)), outbox.surveyed(found), rows
