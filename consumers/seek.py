"""
Planned moves of a group's offsets: where to, how much is read again or skipped, and the move itself.

Offsets live in the database. Their rows are locked while a move is decided, so that what is said of it is exact.
Consumers that run meanwhile find their offset moved, store nothing, and read on from where it is now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Protocol, assert_never
from uuid import UUID

import msgspec
from django.db import connections, transaction

from auditlog.routers import READ_MODEL_ALIAS
from auditlog.vocabulary import Action
from consumers import decisions, offsets
from consumers.faults import ConsumerError
from consumers.records import Partition, Positions, Record

# Records that are looked for with one statement.
AT_ONCE = 1_000
# Index: the primary key of each partition, and that of the chunks.
STORED = """
SELECT event_id FROM auditlog_auditlog WHERE event_id = ANY(%(ids)s)
UNION ALL SELECT event_id FROM auditlog_contentchunk WHERE event_id = ANY(%(ids)s)
"""


class Topics(Protocol):
    """What a move has to know of Kafka; see `consumers.kafka.TopicReader`."""

    def bounds(self, topic: str) -> dict[Partition, tuple[int, int]]:
        """Return the first offset of each partition and the one after its last."""

    def offset_at(self, partition: Partition, moment: datetime) -> int | None:
        """Return the first offset dated `moment` or later."""

    def read(self, partition: Partition, *, start: int, end: int) -> Iterator[Record]:
        """Yield records."""


class NotOnTopic(ConsumerError):
    """The offset is not on the topic: nothing was moved."""


class WouldSkip(ConsumerError):
    """Events would be skipped that are not stored: nothing was moved."""


@dataclass(frozen=True, slots=True)
class Earliest:
    """To the first record of the topic."""


@dataclass(frozen=True, slots=True)
class Latest:
    """Behind the last record of the topic."""


@dataclass(frozen=True, slots=True)
class ToOffset:
    """To this offset."""

    offset: int


@dataclass(frozen=True, slots=True)
class ToTime:
    """To the first record that was published at this time or later."""

    moment: datetime


@dataclass(frozen=True, slots=True)
class Back:
    """Back by so many records."""

    records: int


Target = Earliest | Latest | ToOffset | ToTime | Back


@dataclass(frozen=True, slots=True)
class Move:
    """One partition's move; `start` is None where the group has stored nothing of it, which counts as its beginning."""

    partition: Partition
    start: int | None
    end: int
    # The first offset that the topic has.
    first: int
    # Of what is skipped: distinct events that the read model lacks, and records that the topic has no more.
    skipped_events: int = 0
    skipped_gone: int = 0

    @property
    def again(self) -> int:
        """Return how many offsets are read again."""
        return max(0, (self.first if self.start is None else self.start) - self.end)

    @property
    def forward(self) -> range:
        """Return the offsets that are skipped."""
        return range(self.first if self.start is None else self.start, self.end)

    def members(self) -> dict[str, Any]:
        """Return the move as JSON members."""
        return {
            "topic": self.partition.topic,
            "partition": self.partition.number,
            "from": self.start,
            "to": self.end,
            "read_again": self.again,
            "skipped": len(self.forward),
            "skipped_events": self.skipped_events,
            "skipped_gone": self.skipped_gone,
        }


def planned(
    *, group: str, topics: Topics, partitions: Mapping[Partition, tuple[int, int]], target: Target
) -> list[Move]:
    """Return the moves as they would be now; partitions that stay where they are are left out."""
    return _moves(_load(group, partitions), topics, partitions, target)


def move(
    *,
    group: str,
    topics: Topics,
    partitions: Mapping[Partition, tuple[int, int]],
    target: Target,
    reason: str,
    allow_skip: bool = False,
) -> list[Move]:
    """
    Move the offsets of `partitions`, given their bounds on the topic, in one transaction with the event that says so.

    :raises NotOnTopic: if an offset is asked for that the topic does not have.
    :raises WouldSkip: if events would be skipped, unless that is allowed.
    :raises OffsetConflict: if a consumer began a partition meanwhile.
    """
    with transaction.atomic(using=READ_MODEL_ALIAS):
        positions = _load(group, partitions, lock=True)
        moves = _moves(positions, topics, partitions, target)
        forward = [one for one in moves if one.forward]
        if forward and not allow_skip:
            raise WouldSkip(
                f"{sum(one.skipped_events for one in forward)} events would be skipped that are not stored."
            )
        if moves:
            following = {one.partition: one.end for one in moves}
            offsets.move(connections[READ_MODEL_ALIAS], group=group, expected=positions, following=following)
            data = {"group": group, "moves": [one.members() for one in moves]}
            decisions.record(action=Action.CONSUMER_OFFSETS_MOVED, data=data, reason=reason)
    return moves


def _load(group: str, partitions: Iterable[Partition], *, lock: bool = False) -> dict[Partition, int | None]:
    return offsets.load(connections[READ_MODEL_ALIAS], group=group, partitions=list(partitions), lock=lock)


def _moves(
    positions: Positions, topics: Topics, partitions: Mapping[Partition, tuple[int, int]], target: Target
) -> list[Move]:
    moves = []
    for partition, (first, end) in sorted(partitions.items()):
        start = positions[partition]
        to = _destination(partition, target, topics, first=first, end=end, start=first if start is None else start)
        if to != start:
            moves.append(_counted(Move(partition, start, to, first), topics))
    return moves


def _destination(partition: Partition, target: Target, topics: Topics, *, first: int, end: int, start: int) -> int:
    match target:
        case Earliest():
            return first
        case Latest():
            return end
        case ToOffset(offset):
            if not first <= offset <= end:
                raise NotOnTopic(
                    f"{partition.topic}[{partition.number}] has the offsets from {first} up to before {end}."
                )
            return offset
        case ToTime(moment):
            found = topics.offset_at(partition, moment)
            return end if found is None else found
        case Back(records):
            return max(first, start - records)
        case _:
            assert_never(target)


def _counted(found: Move, topics: Topics) -> Move:
    """Return the move with what it skips: read from the topic, and looked for in the read model."""
    if not found.forward:
        return found
    start = max(found.forward.start, found.first)
    missing: set[UUID] = set()
    records = topics.read(found.partition, start=start, end=found.end)
    while batch := list(islice(records, AT_ONCE)):
        ids = {event_id for record in batch if (event_id := _event_id(record)) is not None}
        missing |= ids - _stored(ids)
    gone = max(0, min(found.first, found.end) - found.forward.start)
    return Move(found.partition, found.start, found.end, found.first, len(missing), gone)


def _stored(event_ids: Collection[UUID]) -> set[UUID]:
    with connections[READ_MODEL_ALIAS].cursor() as cursor:
        cursor.execute(STORED, {"ids": list(event_ids)})
        return {event_id for (event_id,) in cursor.fetchall()}


class _Audit(msgspec.Struct):
    event_id: UUID


class _Named(msgspec.Struct):
    """What is common to events and chunks of contents: the id, somewhere."""

    audit: _Audit | None = None
    event_id: UUID | None = None


def _event_id(record: Record) -> UUID | None:
    """Return the id in a record; None where it is no event."""
    try:
        named = msgspec.json.decode(record.value or b"", type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return named.audit.event_id if named.audit is not None else named.event_id
