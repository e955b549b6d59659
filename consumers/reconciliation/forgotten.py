"""
Topics and minutes of which the ledger has forgotten the ids, compared with what was remembered of them.

What they should hold is known by number and digest alone. The ids are on the topic: what stands there and not in the
read model is missing, and the digest tells afterwards whether that was all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import transaction

from auditlog.partitions import EPOCH, time_of
from auditlog.queries.accounts import MINUTE, Cell, Sum, Window, minute_of
from consumers.reconciliation.comparison import NAMED_AT_MOST, slices
from consumers.reconciliation.memory import Memory
from consumers.reconciliation.on_topic import TopicSide
from consumers.reconciliation.stored import stored, stored_ids


@dataclass(frozen=True, slots=True)
class Changed:
    """A topic and minute that does not hold what it held when it was compared with the ledger."""

    cell: Cell
    remembered: int
    stored: int

    @property
    def is_missing_some(self) -> bool:
        """Tell whether something is missing for certain: as many ids and others, or fewer."""
        return self.stored <= self.remembered

    def members(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        found = {"topic": self.cell.topic, "minute": self.cell.at.isoformat()}
        return {**found, "remembered": self.remembered, "stored": self.stored}

    def __str__(self) -> str:
        return f"{self.cell.topic} at {self.cell.at:%F %H:%M}: {self.remembered} remembered, {self.stored} stored"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was compared once and cannot be compared with the ledger any more."""

    memory: Memory

    def changed(self, *, since: datetime | None, until: datetime) -> list[Changed]:
        """
        Return what does not hold what it held, before `until`.

        From `since` on, all is compared; without it, what the continuous proof has found to differ.
        """
        begin = self.memory.next_minute(since or EPOCH)
        if begin is None:
            return []
        if since is None:
            cells = [cell for cell in self.memory.open_cells(NAMED_AT_MOST) if begin <= cell.at < until]
            return [found for cell in cells for found in self._differing(cell.window) if found.cell == cell]
        return [found for part in slices(Window(begin, until)) for found in self._differing(part)]

    def missing(self, changed: Iterable[Changed], topics: TopicSide) -> Iterator[tuple[str, Window, list[UUID]]]:
        """
        Yield the ids that stand on a topic and not in the read model in these minutes, with the time that they are of.

        :raises BrokersUnavailable: if a topic cannot be read to its end.
        """
        by_topic = groupby(sorted(found.cell for found in changed), key=lambda cell: cell.topic)
        for topic, cells in by_topic:
            minutes = [cell.at for cell in cells]
            window = Window(minutes[0], minutes[-1] + MINUTE)
            yield topic, window, self._missing(topic, window, frozenset(minutes), topics)

    def _differing(self, window: Window) -> Iterator[Changed]:
        now = stored(self.memory.connection, window)
        for cell, known in self.memory.known(window).items():
            held = now.get(cell, Sum())
            if held != known:
                yield Changed(cell, known.events, held.events)

    def _missing(self, topic: str, window: Window, minutes: frozenset[datetime], topics: TopicSide) -> list[UUID]:
        found: list[UUID] = []
        connection = self.memory.connection
        with transaction.atomic(using=connection.alias), closing(topics.ids_on(topic, window)) as on_topic:
            one = ((event_id, True) for event_id in on_topic)
            other = ((event_id, False) for event_id in stored_ids(connection, topic, window))
            for event_id, sides in groupby(merge(one, other), key=itemgetter(0)):
                is_of_them = minute_of(time_of(event_id)) in minutes
                if is_of_them and all(is_on_topic for _, is_on_topic in sides) and len(found) < NAMED_AT_MOST:
                    found.append(event_id)
        return found
