"""Which events are next: fair to all shards, past what is gone, and never past what may still appear."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg

from publishers import metrics, outbox
from publishers.floors import Floors
from publishers.outbox import ID, OCCURRED_AT, SHARD, Row, Scan, Survey
from publishers.shares import Shares

SURVEY_SECONDS = 0.5
# Floors are a shortcut: now and then everything is looked at, also what no rule foresaw.
FULL_SCAN_SECONDS = 60.0
DEPTH_SECONDS = 5.0
# Counted of each shard at most: counting a long backlog whole would add to it.
DEPTH_ROWS = 2_000


class Scanner:
    """
    Fetches from shards that have nothing in flight.

    Under load the even and the odd shards take turns, so that one half can be fetched while the other is in flight.
    """

    def __init__(self, *, rows: int, size: int) -> None:
        self._floors, self._shares = Floors(), Shares(rows=rows, size=size)
        self._stopped: frozenset[str] = frozenset()
        self._parked: set[int] = set()
        self._half: int | None = None
        self._survey_at = self._full_scan_at = self._depth_at = 0.0

    @property
    def is_halved(self) -> bool:
        """Return whether the next fetch looks at one half of the shards only: there is much to do."""
        return self._half is not None

    def fetch(
        self, connection: psycopg.Connection[Any], *, shards: Iterable[int], stopped: frozenset[str], in_flight: bool
    ) -> list[Row]:
        """Return the next events of those of these shards whose turn it is, without topics that are stopped."""
        if self.is_halved:
            # Much is deleted meanwhile: a scan that begins too low walks over all of it.
            self._survey(connection)
        scans = self.scans(shards=shards, stopped=stopped)
        rows = outbox.fetch(connection, scans=scans, stopped=stopped) if scans else []
        self.fetched(scans, rows, in_flight=in_flight)
        return rows

    def scans(self, *, shards: Iterable[int], stopped: frozenset[str]) -> list[Scan]:
        """Return what to fetch next of these shards; what it brings is to be told to `fetched`."""
        if stopped != self._stopped:
            # What was left out is wanted again, from its beginning.
            self._stopped = stopped
            self._floors.forget()
        return self._shares.scans(sorted(s for s in shards if self._half in {None, s % 2}), self._floors)

    def fetched(self, scans: Sequence[Scan], rows: Sequence[Row], *, in_flight: bool) -> None:
        """Note what scans brought."""
        self._shares.fetched(scans, rows)
        last_ids: dict[int, int | None] = dict.fromkeys(scan.shard for scan in scans)
        last_ids.update(zip(map(SHARD, rows), map(ID, rows), strict=True))
        self._floors.fetched(last_ids)
        if rows or not self.is_halved:
            metrics.OLDEST_SECONDS.set(age_seconds(rows) if rows else 0)
        under_load = self._shares.hungry and (rows or in_flight)
        self._half = 1 - (self._half or 0) if under_load else None

    def look_around(self, connection: psycopg.Connection[Any], *, held: Collection[int]) -> None:
        """Now and then, learn of transactions under way and of parked events."""
        now = time.monotonic()
        if now >= self._survey_at:
            self._survey_at = now + SURVEY_SECONDS
            parked = self._survey(connection)
            metrics.PARKED_NOW.set(sum(count for shard, count in parked.items() if shard in held))
        if now >= self._depth_at:
            self._depth_at = now + DEPTH_SECONDS
            floors = {shard: self._floors.of(shard) for shard in held}
            metrics.PENDING.set(outbox.depth(connection, floors=floors, most=DEPTH_ROWS))
        if now >= self._full_scan_at:
            self._full_scan_at = now + FULL_SCAN_SECONDS
            self._floors.forget()

    def _survey(self, connection: psycopg.Connection[Any]) -> Mapping[int, int]:
        """Raise floors by the transactions that are over; returns how many events each shard has parked."""
        return self.surveyed(outbox.survey(connection))

    def surveyed(self, found: Survey) -> Mapping[int, int]:
        """Raise floors by a survey that was made after the last fetch, and before the next that is noted."""
        self._floors.surveyed(xmin=found.xmin, xmax=found.xmax)
        # Where an event is parked, it and what it holds may return behind what was fetched since: no floor there, and
        # none for what was fetched before the last such event left.
        self._floors.forget(self._parked.union(found.parked))
        self._parked = set(found.parked)
        return found.parked

    def parks_in(self, shard: int) -> None:
        """Note that an event of this shard is being parked."""
        self._parked.add(shard)
        self._floors.forget([shard])

    def forget(self, shards: Iterable[int] | None = None) -> None:
        """
        Scan these shards, or all, from their beginning.

        Needed where something that was fetched is still in the outbox and is not in flight any more, and where a shard
        or the whole database may not be what it was.
        """
        self._floors.forget(shards)


def age_seconds(rows: Sequence[Row]) -> float:
    """Return how long ago the oldest of these events was recorded."""
    oldest = datetime.fromisoformat(min(map(OCCURRED_AT, rows)))
    return (datetime.now(UTC) - oldest).total_seconds()
