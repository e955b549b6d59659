"""
Compares what committed with what is stored, by topic and minute, without anybody's word for it.

Where the accounts of a topic and minute differ, their ids are walked side by side and the difference is named. Memory
does not grow with the number of events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import merge
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.queries.accounts import Cell, Sum, Window, committed, committed_ids, minute_of, oldest
from consumers.reconciliation.stored import first_stored, stored, stored_ids

# Accounts of so much time are in memory at once.
SLICE = timedelta(hours=1)
# Ids that are named of all that are missing: so many are in memory.
NAMED_AT_MOST = 10_000
NOTHING = Sum()


@dataclass(frozen=True, slots=True)
class Compared:
    """The accounts of a topic and minute on both sides."""

    cell: Cell
    committed: Sum
    stored: Sum

    @property
    def is_equal(self) -> bool:
        """Tell whether both have the same ids."""
        return self.committed == self.stored


@dataclass(slots=True)
class Ids:
    """A number of ids, the first of which are named."""

    count: int = 0
    named: list[UUID] = field(default_factory=list)

    def add(self, event_id: UUID) -> None:
        """Count an id, and name it while there is room."""
        self.count += 1
        if len(self.named) < NAMED_AT_MOST:
            self.named.append(event_id)

    def clear(self) -> None:
        """Forget all."""
        self.count = 0
        self.named.clear()


@dataclass(slots=True)
class Difference:
    """What a topic and minute have on one side only."""

    cell: Cell
    committed: int = 0
    stored: int = 0
    # Committed, acknowledged by Kafka, and not in the read model.
    lost: Ids = field(default_factory=Ids)
    # Committed, and still waiting in the outbox.
    pending: Ids = field(default_factory=Ids)
    # In the read model, and neither in the outbox nor in the ledger.
    unaccounted: Ids = field(default_factory=Ids)

    def add(self, event_id: UUID, sides: Sequence[tuple[bool, bool]]) -> None:
        """Take in an id and where it is: whether that is the read model, and whether it waits there."""
        waits = [waiting for is_stored, waiting in sides if not is_stored]
        is_stored = len(waits) < len(sides)
        self.committed += bool(waits)
        self.stored += is_stored
        if not waits:
            self.unaccounted.add(event_id)
        elif not is_stored:
            (self.pending if any(waits) else self.lost).add(event_id)

    @property
    def missing(self) -> int:
        """How many are not in the read model, whatever the reason."""
        return self.lost.count + self.pending.count

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing differs after all."""
        return not self.missing and not self.unaccounted.count


@dataclass(frozen=True, slots=True)
class Sides:
    """The database of the outbox, and that of the read model."""

    source: BaseDatabaseWrapper
    read_model: BaseDatabaseWrapper

    def compare(self, window: Window) -> Iterator[Compared]:
        """
        Yield the accounts of the topics and minutes of a window, by the time inside the ids.

        The outbox is read first, so that an event that is stored meanwhile is not missing.
        """
        for part in slices(self._inhabited(window)):
            one = committed(self.source, part)
            other = stored(self.read_model, part)
            for cell in sorted(one.keys() | other.keys(), key=lambda cell: (cell.at, cell.topic)):
                yield Compared(cell, one.get(cell, NOTHING), other.get(cell, NOTHING))

    def _inhabited(self, window: Window) -> Window:
        """Return a window without the empty time before its first event."""
        firsts = (oldest(self.source), first_stored(self.read_model, window.since))
        begin = min((minute_of(first) for first in firsts if first is not None), default=window.until)
        return Window(max(window.since, begin), window.until)

    def difference(self, cell: Cell, within: Window | None = None) -> Difference:
        """Return what a topic and minute have on one side only, by walking over their ids."""
        window = within or cell.window
        found = Difference(cell)
        one = ((event_id, False, waits) for event_id, waits in committed_ids(self.source, cell.topic, window))
        other = ((event_id, True, False) for event_id in stored_ids(self.read_model, cell.topic, window))
        # Begins with the first of them: see `compare`.
        for event_id, sides in groupby(merge(one, other), key=itemgetter(0)):
            found.add(event_id, [(is_stored, waits) for _, is_stored, waits in sides])
        return found


def slices(window: Window) -> Iterator[Window]:
    """Yield the parts of a window, none longer than SLICE."""
    since = window.since
    while since < window.until:
        end = min(since + SLICE, window.until)
        yield Window(since, end)
        since = end
