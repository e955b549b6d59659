"""
Replays: the read model out of the topics, and a topic out of the read model, with the same ids.

Both go on where an interrupted run stopped, and hold no more than some records in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from consumers.faults import ConsumerError
from consumers.projector import Projector, Stored
from consumers.records import Batch, Partition, Record

# Records that are written to a topic before somebody may stop it, and bytes that are in memory at once.
WRITTEN_AT_ONCE = 2_000
BATCH_BYTES = 16_000_000


class Reader(Protocol):
    """What is on the topics; see `consumers.kafka.TopicReader`."""

    def bounds(self, topic: str) -> dict[Partition, tuple[int, int]]:
        """Return the first offset of each partition and the one after its last."""

    def offset_at(self, partition: Partition, moment: datetime) -> int | None:
        """Return the first offset dated `moment` or later."""

    def read(self, partition: Partition, *, start: int, end: int) -> Iterator[Record]:
        """Yield records."""


class OthersWrote(ConsumerError):
    """The topic has a record that is not the next of this replay: stop the relays, and begin with an empty topic."""


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a partition, from `start` up to before `end`."""

    partition: Partition
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition was read, and what became of the last records."""

    span: Span
    next_offset: int
    stored: Stored


def spans(reader: Reader, topic: str, *, since: datetime | None, until: datetime | None) -> list[Span]:
    """Return what was published to a topic from `since` up to before `until`; all of it where these are None."""
    found = []
    for partition, (first, end) in sorted(reader.bounds(topic).items()):
        start = first if since is None else _offset_at(reader, partition, since, otherwise=end)
        stop = end if until is None else _offset_at(reader, partition, until, otherwise=end)
        if start < stop:
            found.append(Span(partition, start, stop))
    return found


def to_read_model(
    wanted: Sequence[Span], *, reader: Reader, projector: Projector, batch_rows: int
) -> Iterator[Progress]:
    """
    Store what is on the topics and not in the read model, and yield after each batch.

    Each batch moves the offsets of the projector's group in its transaction: a run of the same group goes on there. The
    group must be no consumer's.

    :raises OffsetConflict: if somebody else runs the same replay.
    :raises Unavailable: if the database cannot store now.
    """
    positions = projector.positions([span.partition for span in wanted])
    for span in wanted:
        position = positions[span.partition]
        start = span.start if position is None else max(span.start, position)
        records = reader.read(span.partition, start=start, end=span.end)
        for batch in _batches(records, batch_rows):
            stored = projector.store(Batch(tuple(batch), {span.partition: position}))
            position = batch[-1].offset + 1
            yield Progress(span, position, stored)


def to_topic(
    records: Iterator[Record],
    *,
    there: Mapping[int, Iterator[Record]],
    partition_of: Callable[[bytes], int],
    write: Callable[[Sequence[Record]], int],
) -> Iterator[tuple[int, int]]:
    """
    Append records to their topic in their order; yield after some how many were found there and how many written.

    `there` maps partitions to what they hold already. That must be the beginning of this replay: it is compared id by
    id, and not written again.

    :raises OthersWrote: if it is anything else. Nothing else was written then.
    """
    for batch in _batches(records, WRITTEN_AT_ONCE):
        missing = [record for record in batch if not _is_there(record, there[partition_of(record.key or b"")])]
        write(missing)
        yield len(batch) - len(missing), len(missing)


def _batches(records: Iterator[Record], rows: int) -> Iterator[list[Record]]:
    """Yield at most so many records at once, and fewer where they are large."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.value or b"")
        if len(batch) >= rows or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_there(record: Record, there: Iterator[Record]) -> bool:
    found = next(there, None)
    if found is not None and found.header("ce_id") != record.header("ce_id"):
        raise OthersWrote(f"{OthersWrote.__doc__} ({found.partition.topic}[{found.partition.number}]@{found.offset})")
    return found is not None


def _offset_at(reader: Reader, partition: Partition, moment: datetime, *, otherwise: int) -> int:
    found = reader.offset_at(partition, moment)
    return otherwise if found is None else found
