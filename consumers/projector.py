"""Stores batches: events, dead letters and offsets in one transaction, each event once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone

from auditlog import partitions, topics, tracing
from auditlog.partitions import days_of
from auditlog.patience import bound_transaction
from auditlog.queries.positions import leading_group
from auditlog.routers import READ_MODEL_ALIAS
from consumers import contents, deadletters, kept_shapes, late, metrics, offsets
from consumers.contents import Chunk
from consumers.deadletters import Undeliverable
from consumers.decode import Decoded, Horizon, Rejected, Row, decode
from consumers.faults import DATABASE_ERRORS, OffsetConflict, Unavailable, described, is_data_error
from consumers.kept_shapes import KeptShapes
from consumers.reasons import DeadLetterReason
from consumers.records import Batch, Partition, Record
from consumers.spans import record_spans, traceparent_of

if TYPE_CHECKING:
    from auditlog.spans import Tracer

log = structlog.get_logger(__name__)
# Asked before a line is made for each event.
DEBUG_LOG = logging.getLogger(__name__)

SECONDS_OF_DAY = 86_400

ARRAYS = slice(Row._fields.index("subjects"), Row._fields.index("changed_fields") + 1)
COLUMNS = ", ".join(f'"{name}"' for name in Row._fields)
# A table of the session: made once for each connection, emptied by each commit. Without the parent's indexes.
STAGE = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS auditlog_stage ON COMMIT DELETE ROWS
AS SELECT {COLUMNS} FROM auditlog_auditlog WITH NO DATA
"""
CLEAR = "DELETE FROM auditlog_stage"
COPY = f"COPY auditlog_stage ({COLUMNS}) FROM STDIN"
# Index: the primary key of each partition; a repeated event changes nothing.
STORE = f"""
INSERT INTO auditlog_auditlog (stored_at, {COLUMNS})
SELECT clock_timestamp(), {COLUMNS} FROM auditlog_stage
ON CONFLICT (event_id) DO NOTHING
"""
STORE_LATE = late.STORE.format(columns=COLUMNS)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch; chunks of contents count as events."""

    events: int
    repeated: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Readable:
    """Records by what they are."""

    rows: Sequence[tuple[Record, Row]]
    # By their ids: shapes of rows that are not known to be kept yet.
    shapes: Mapping[UUID, str]
    chunks: Sequence[tuple[Record, Chunk]]
    dead: Sequence[Undeliverable]


@dataclass(frozen=True, slots=True)
class Projector:
    """Writes the read model for one consumer group."""

    group: str
    alias: str = READ_MODEL_ALIAS
    clock: Callable[[], datetime] = timezone.now
    shapes: KeptShapes = field(default_factory=KeptShapes, compare=False)
    # Makes a span of each event that belongs to a sampled trace.
    tracer: Tracer | None = None

    def positions(self, wanted: Iterable[Partition]) -> dict[Partition, int | None]:
        """
        Return the next offset to store of each partition; None where nothing was stored yet.

        :raises Unavailable: if the database does not answer.
        """
        try:
            return offsets.load(connections[self.alias], group=self.group, partitions=list(wanted))
        except DATABASE_ERRORS as exc:
            raise self._unavailable(exc) from exc

    def read(self, records: Sequence[Record]) -> Readable:
        """
        Return what records say.

        Asks no database: may be called by one other thread than that which stores, at the same time.
        """
        blobs = set(topics.generations(topics.blobs_topic(), {record.partition.topic for record in records}))
        chunks, dead = _chunks(record for record in records if record.partition.topic in blobs)
        shapes: dict[UUID, str] = {}
        rows, refused = self._decoded((record for record in records if record.partition.topic not in blobs), shapes)
        return Readable(rows, shapes, chunks, [*dead, *refused])

    def store(self, batch: Batch, *, readable: Readable | None = None) -> Stored:
        """
        Store a batch in one transaction of its own, and return what became of it.

        A record that is malformed, or that the database refuses, becomes a dead letter; the others are stored.
        `readable` is what `read` returned of the batch's records, where that was done before.

        :raises OffsetConflict: if another consumer stored from these partitions: nothing was stored.
        :raises Unavailable: if the database cannot store now: nothing was stored, or (an answer to COMMIT that got
            lost) all of it, which the next attempt reports as an OffsetConflict.
        """
        started, began_ns = time.perf_counter(), time.time_ns()
        readable = readable or self.read(batch.records)
        try:
            with transaction.atomic(using=self.alias, durable=True):
                bound_transaction(connections[self.alias], seconds=settings.DATABASE_ANSWER_SECONDS)
                # Before the rows, so that a consumer that has lost its partitions does no work.
                passed = offsets.move(
                    connections[self.alias],
                    group=self.group,
                    expected=batch.expected,
                    following=batch.next_offsets(),
                )
                new, dead = self._keep(readable, passed if self.group == leading_group() else None)
                deadletters.insert(connections[self.alias], dead)
        except OffsetConflict:
            metrics.OFFSET_CONFLICTS.inc()
            raise
        except DATABASE_ERRORS as exc:
            raise self._unavailable(exc) from exc
        self.shapes.committed(readable.shapes)
        stored = Stored(new, len(batch.records) - new - len(dead), len(dead))
        if readable.rows:
            now = self.clock()
            for _record, row in readable.rows:
                metrics.DELAY_SECONDS.observe((now - row.occurred_at).total_seconds())
        self._report(batch, stored, dead, time.perf_counter() - started)
        self._trace(batch, readable.rows, dead, began_ns)
        return stored

    def store_again(self, records: Sequence[Record]) -> list[Undeliverable]:
        """
        Store records in the caller's transaction, whatever the offsets say; return those that cannot be events.

        What is stored here is late, wherever the consumers are.
        """
        _new, dead = self._keep(self.read(records), None)
        return dead

    def open_dead_letters(self) -> dict[str, int]:
        """
        Return how many dead letters are open, by reason.

        :raises Unavailable: if the database does not answer.
        """
        try:
            return deadletters.open_by_reason(connections[self.alias])
        except DATABASE_ERRORS as exc:
            raise self._unavailable(exc) from exc

    def partition_horizon_days(self) -> float:
        """
        Return for how many days from now on the audit log has partitions without a gap.

        :raises Unavailable: if the database does not answer.
        """
        try:
            names = partitions.existing(connections[self.alias])
        except DATABASE_ERRORS as exc:
            raise self._unavailable(exc) from exc
        now = self.clock()
        return (partitions.covered_until(names, now=now) - now).total_seconds() / SECONDS_OF_DAY

    def _keep(self, readable: Readable, passed: Mapping[Partition, int] | None) -> tuple[int, list[Undeliverable]]:
        """
        Store in the caller's transaction; return how many events are new, and what cannot be an event.

        Events below the offsets of `passed` are late; without it, all are.
        """
        again, ordinary = _parted(readable.rows, passed)
        if again:
            late.lock(connections[self.alias])
        kept_shapes.keep(connections[self.alias], readable.shapes)
        behind, refused_behind = self._insert(again, STORE_LATE)
        inserted, refused = self._insert(ordinary, STORE)
        kept, damaged = contents.store(connections[self.alias], readable.chunks)
        return behind + inserted + kept, [*readable.dead, *refused_behind, *refused, *damaged]

    def _decoded(
        self, records: Iterable[Record], shapes: dict[UUID, str]
    ) -> tuple[list[tuple[Record, Row]], list[Undeliverable]]:
        earliest, end = partitions.horizon(now=self.clock(), months_ahead=settings.AUDITLOG_PARTITION_MONTHS_AHEAD)
        horizon = Horizon(earliest, end)
        rows: list[tuple[Record, Row]] = []
        dead: list[Undeliverable] = []
        for record in records:
            match decode(record, horizon=horizon):
                case Decoded() as decoded:
                    rows.append((record, self.shapes.shaped(record, decoded, shapes)))
                case Rejected(reason, detail):
                    dead.append(Undeliverable(record, reason, detail))
        return rows, dead

    def _insert(self, rows: Sequence[tuple[Record, Row]], statement: str) -> tuple[int, list[Undeliverable]]:
        """Insert rows in the caller's transaction; halve until the one that the database refuses is found."""
        if not rows:
            return 0, []
        try:
            with transaction.atomic(using=self.alias):
                return self._copy([row for _record, row in rows], statement), []
        except DATABASE_ERRORS as exc:
            if not is_data_error(exc):
                raise
            if len(rows) == 1:
                record = rows[0][0]
                return 0, [Undeliverable(record, DeadLetterReason.REFUSED_BY_DATABASE, described(exc))]
        middle = len(rows) // 2
        first, first_dead = self._insert(rows[:middle], statement)
        second, second_dead = self._insert(rows[middle:], statement)
        return first + second, first_dead + second_dead

    def _copy(self, rows: Sequence[Row], statement: str) -> int:
        connection = connections[self.alias]
        made = partitions.ensure(connection, days_of(row.event_id for row in rows))
        if made:
            log.warning("consumer.partition_made", partitions=made)
        with connection.cursor() as cursor:
            cursor.execute(STAGE)
            cursor.execute(CLEAR)
            with cursor.copy(COPY) as copy:
                for row in rows:
                    copy.write_row(_copied(row))
            cursor.execute(statement)
            count: int = cursor.rowcount
            return count

    def _unavailable(self, error: BaseException) -> Unavailable:
        """Close the connection, so that the next attempt makes a new one, and say what happened."""
        metrics.UNAVAILABLE.inc()
        connections[self.alias].close()
        return Unavailable(described(error))

    def _report(self, batch: Batch, stored: Stored, dead: Sequence[Undeliverable], seconds: float) -> None:
        metrics.STORED.inc(stored.events)
        metrics.REPEATED.inc(stored.repeated)
        metrics.BATCH_SECONDS.observe(seconds)
        metrics.BATCH_RECORDS.observe(len(batch.records))
        for letter in dead:
            metrics.DEAD_LETTERS.labels(letter.reason).inc()
            facts = {**_where(letter.record), "trace_id": tracing.trace_id(traceparent_of(letter.record))}
            log.error("consumer.dead_letter", reason=letter.reason, detail=letter.detail, **facts)
        log.info(
            "consumer.stored",
            events=stored.events,
            repeated=stored.repeated,
            dead_letters=stored.dead_letters,
            milliseconds=round(seconds * 1000, 1),
            **tracing.trace_ids(map(traceparent_of, batch.records)),
        )

    def _trace(
        self, batch: Batch, rows: Sequence[tuple[Record, Row]], dead: Sequence[Undeliverable], began_ns: int
    ) -> None:
        """Say of each event where it went: in the log of those who want to read that, and as spans."""
        if DEBUG_LOG.isEnabledFor(logging.DEBUG):
            for record, row in rows:
                ids = {"event_id": str(row.event_id), "request_id": row.request_id}
                trace_id = tracing.trace_id(traceparent_of(record))
                log.debug("consumer.event_stored", **ids, trace_id=trace_id, **_where(record))
        if self.tracer is not None:
            errors = {(letter.record.partition, letter.record.offset): str(letter.reason) for letter in dead}
            record_spans(self.tracer, batch.records, group=self.group, began_ns=began_ns, errors=errors)


def _chunks(records: Iterable[Record]) -> tuple[list[tuple[Record, Chunk]], list[Undeliverable]]:
    chunks: list[tuple[Record, Chunk]] = []
    dead: list[Undeliverable] = []
    for record in records:
        match contents.decode(record):
            case Chunk() as chunk:
                chunks.append((record, chunk))
            case Rejected(reason, detail):
                dead.append(Undeliverable(record, reason, detail))
    return chunks, dead


def _parted(
    rows: Sequence[tuple[Record, Row]], passed: Mapping[Partition, int] | None
) -> tuple[Sequence[tuple[Record, Row]], Sequence[tuple[Record, Row]]]:
    """Return the rows that are late, and the others."""
    if passed is None:
        return rows, ()
    if not passed:
        return (), rows
    again = [(record, row) for record, row in rows if record.offset < passed.get(record.partition, 0)]
    return again, [(record, row) for record, row in rows if record.offset >= passed.get(record.partition, 0)]


def _copied(row: Row) -> tuple[Any, ...]:
    """Return a row with its arrays as text: lists take the driver five times as long as the rest of the row."""
    arrays = (_array(row.subjects), _array(row.labels), _array(row.changed_fields))
    return (*row[: ARRAYS.start], *arrays, *row[ARRAYS.stop :])


def _array(texts: Sequence[str]) -> str:
    """Return texts as the text of a PostgreSQL array: all quoted, quotes and backslashes escaped."""
    if not texts:
        return "{}"
    whole = "".join(texts)
    if "\\" in whole or '"' in whole:
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(texts) + '"}'


def _where(record: Record) -> dict[str, Any]:
    return {"topic": record.partition.topic, "partition": record.partition.number, "offset": record.offset}
