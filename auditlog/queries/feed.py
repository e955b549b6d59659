"""
Reads events in the order in which they were stored: of each topic partition by its offsets, late ones by their numbers.

Whoever goes on where an answer ended meets every event once, whatever is stored meanwhile and by whom.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections, router
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from auditlog.access.rights import Rights
from auditlog.access.wall import behind_wall
from auditlog.models import AuditLog, LateEvent
from auditlog.queries import compiler, positions
from auditlog.queries.compiler import Query
from auditlog.queries.events import DETAIL_COLUMNS, INTERNAL_COLUMNS
from auditlog.queries.filters import Filter
from auditlog.queries.limits import bounded

# Offsets that one answer looks at: a filter that chooses few events must not keep the caller waiting.
SCANNED_OFFSETS = 20_000
# How many times more offsets are looked at each time that too few events were found.
GROWTH = 8
# Each stretch of a partition by its own scan of the index (topic, partition, "offset").
STRETCHES = """
SELECT event.* FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[]) WITH ORDINALITY
    AS stretch (topic, partition, start, stop, turn)
CROSS JOIN LATERAL ({rows}) event ORDER BY stretch.turn, event."offset" LIMIT %s
"""


class PositionLost(Exception):
    """The read model holds less than at the position: it was restored from an older state."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands: what it has seen, and the partition whose turn was last."""

    seen: positions.Position
    turn: positions.Place = ("", 0)
    # The last late event that was seen: numbers are given again after the read model was restored.
    late_event: UUID | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Some events, where the reader stands after them, and whether more are stored already."""

    events: list[AuditLog]
    place: Place
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Offsets of a partition, from `start` up to before `stop`."""

    place: positions.Place
    start: int
    stop: int


def beginning() -> Place:
    """Return the place before everything that is stored."""
    return Place(positions.Position({}))


def end(upto: positions.Position) -> Place:
    """Return the place behind all that is stored at a position."""
    return Place(upto, late_event=_late_event(upto.late))


def check(place: Place, upto: positions.Position) -> None:
    """
    See that what a reader has seen is stored still.

    :raises PositionLost: if not: to go on would leave out what is stored anew.
    """
    behind = (upto.offsets.get(partition, 0) < seen for partition, seen in place.seen.offsets.items())
    if any(behind) or place.seen.late > upto.late or place.late_event != _late_event(place.seen.late):
        raise PositionLost


def read(
    chosen: Filter,
    rights: Rights,
    *,
    place: Place,
    upto: positions.Position,
    limit: int,
    include: Collection[str] = (),
) -> Portion:
    """
    Return the next events of a reader among those that are stored at a position, in a transaction behind the wall.

    At most half of them are late, so that a replay of months does not keep what happens now waiting.
    """
    late = list(
        LateEvent.objects.filter(number__gt=place.seen.late, number__lte=upto.late).order_by("number")[
            : max(1, limit // 2)
        ]
    )
    with bounded(), behind_wall(rights):
        rows = compiler.rows(Query(chosen), rights).defer(*(DETAIL_COLUMNS - set(include)), *INTERNAL_COLUMNS)
        events = _late_rows(rows, late)
        walk = _Walk(dict(place.seen.offsets), place.turn, upto)
        events += walk.events(rows, limit - len(events))
    number, late_event = (late[-1].number, late[-1].event_id) if late else (place.seen.late, place.late_event)
    seen = positions.Position(walk.offsets, number)
    return Portion(events, Place(seen, walk.turn, late_event), number < upto.late or walk.has_more)


@dataclass(slots=True)
class _Walk:
    """Goes on through the partitions in turns, from what was seen of each up to a position."""

    offsets: dict[positions.Place, int]
    turn: positions.Place
    upto: positions.Position

    @property
    def has_more(self) -> bool:
        return next(self._partitions(), None) is not None

    def events(self, rows: QuerySet[AuditLog], limit: int) -> list[AuditLog]:
        found: list[AuditLog] = []
        budget, left = limit, SCANNED_OFFSETS
        while len(found) < limit and left > 0 and (stretches := self._stretches(min(budget, left))):
            wanted = limit - len(found)
            new = _rows_of(rows, stretches, wanted)
            self._pass(stretches, new[-1] if len(new) == wanted else None)
            found += new
            left -= sum(stretch.stop - stretch.start for stretch in stretches)
            budget *= GROWTH
        return found

    def _pass(self, stretches: list[_Stretch], last: AuditLog | None) -> None:
        """Note that these stretches were read: to their end, or up to the last event."""
        for stretch in stretches:
            self.turn, self.offsets[stretch.place] = stretch.place, stretch.stop
            if last is not None and stretch.place == (last.topic, last.partition):
                self.offsets[stretch.place] = last.offset + 1
                break

    def _stretches(self, budget: int) -> list[_Stretch]:
        """Return what is to be read next: as many offsets as the budget allows."""
        found = []
        for place in self._partitions():
            start = self.offsets.get(place, 0)
            stop = min(self.upto.offsets[place], start + budget)
            found.append(_Stretch(place, start, stop))
            budget -= stop - start
            if budget <= 0:
                break
        return found

    def _partitions(self) -> Iterator[positions.Place]:
        """Yield the partitions of which not all was seen, beginning after the one whose turn was last."""
        ahead = (place for place, stop in self.upto.offsets.items() if self.offsets.get(place, 0) < stop)
        yield from sorted(ahead, key=lambda place: (place <= self.turn, place))


def _rows_of(rows: QuerySet[AuditLog], stretches: list[_Stretch], limit: int) -> list[AuditLog]:
    outer = {name: RawSQL(f"stretch.{name}", ()) for name in ("topic", "partition", "start", "stop")}  # noqa: S611
    chosen = rows.filter(
        topic=outer["topic"],
        partition=outer["partition"],
        offset__gte=outer["start"],
        offset__lt=outer["stop"],
        late__isnull=True,
    ).order_by("offset")[:limit]
    alias = router.db_for_read(AuditLog)
    inner, parameters = chosen.query.get_compiler(connection=connections[alias]).as_sql()
    columns: list[list[Any]] = [
        [stretch.place[0] for stretch in stretches],
        [stretch.place[1] for stretch in stretches],
        [stretch.start for stretch in stretches],
        [stretch.stop for stretch in stretches],
    ]
    found = AuditLog.objects.raw(STRETCHES.format(rows=inner), [*columns, *parameters, limit])
    return list(found)


def _late_rows(rows: QuerySet[AuditLog], late: Collection[LateEvent]) -> list[AuditLog]:
    """Return those of the late events that are wanted, in their order; one that was stored anew has another number."""
    if not late:
        return []
    numbers = {one.event_id: one.number for one in late}
    found = rows.filter(event_id__in=list(numbers), late__in=list(numbers.values()))
    return sorted(found, key=lambda event: numbers[event.event_id])


def _late_event(number: int) -> UUID | None:
    return LateEvent.objects.filter(number=number).values_list("event_id", flat=True).first() if number else None
