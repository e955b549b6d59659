"""The run loop: fetch a batch, store it, go on. While there is a backlog, the next one is read meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import structlog

from consumers import metrics
from consumers.faults import BrokersUnavailable, OffsetConflict, Unavailable
from consumers.projector import Projector, Readable
from consumers.records import Batch, Partition, Positions
from consumers.survey import Survey

log = structlog.get_logger(__name__)

FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0
SLICE_SECONDS = 0.25


class BatchSource(Protocol):
    """Where batches come from; see `consumers.kafka.Source`."""

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions held now."""

    @property
    def followed(self) -> frozenset[Partition]:
        """The partitions whose offsets matter, also those that are not read."""

    def follow(self, stored: Positions) -> None:
        """Read on from where the database stands, where that was moved."""

    def check(self, *, timeout_seconds: float) -> None:
        """Raise BrokersUnavailable where nobody answers."""

    def fetch(self, *, rows: int, seconds: float, unstored: Batch | None = None) -> Batch:
        """Return the next records, or those after a batch that is not stored yet."""

    def advance(self, following: Mapping[Partition, int]) -> None:
        """Note what is stored."""

    def lag(self) -> Mapping[str, int]:
        """Return how many records there are beyond what is stored, by topic."""

    def rewind(self) -> None:
        """Begin again where the database stands."""

    def pause(self) -> None:
        """Fetch nothing."""

    def idle(self, *, seconds: float) -> None:
        """Stay in the group while paused."""

    def resume(self) -> None:
        """Fetch again."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A batch that was fetched, and is being read where another one is stored first."""

    batch: Batch
    readable: Future[Readable] | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """Moves batches from the source to the read model until `stop` is set."""

    source: BatchSource
    projector: Projector
    stop: threading.Event
    batch_rows: int
    batch_seconds: float
    # Called each time that the loop goes round, also while it waits for the database.
    beat: Callable[[], None] = metrics.LAST_LOOP.set_to_current_time

    def run(self) -> None:
        """Consume until `stop` is set; a batch that is being stored is finished first."""
        survey = Survey(self.source, self.projector)
        following: _Held | None = None
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
            while not self.stop.is_set():
                self.beat()
                survey.look()
                held = following or _Held(self.source.fetch(rows=self.batch_rows, seconds=self.batch_seconds))
                following = self._following(held.batch, reader)
                if not self._store(held):
                    following = None  # it comes again
        if following is not None:
            self.source.rewind()

    def _following(self, batch: Batch, reader: ThreadPoolExecutor) -> _Held | None:
        """
        Begin to read the batch after a full one, where it is there already.

        Its offsets are expected where this one leads: it cannot be stored unless this one was. Whoever gives it up has
        to rewind, or its records would be skipped.
        """
        if len(batch.records) < self.batch_rows:
            return None
        ahead = self.source.fetch(rows=self.batch_rows, seconds=0, unstored=batch)
        return _Held(ahead, reader.submit(self.projector.read, ahead.records)) if ahead.records else None

    def _store(self, held: _Held) -> bool:
        """
        Store a batch; where the database is away, with the partitions paused until it is back.

        Returns whether what was fetched after it may be stored; otherwise all is read again from where the database is.
        """
        readable = held.readable.result() if held.readable is not None else None
        batch = held.batch
        if not batch.expected.keys() <= self.source.partitions:
            batch, readable = batch.within(self.source.partitions), None
        if not batch.records:
            return True
        try:
            stored: Batch | None = self._attempt(batch, readable)
        except Unavailable as exc:
            self.source.pause()
            stored = self._await_database(batch, exc)
            # Before a rewind: a paused partition would resume where it was paused.
            self.source.resume()
        if stored is None:
            self.source.rewind()
            return False
        self.source.advance(stored.next_offsets())
        return True

    def _attempt(self, batch: Batch, readable: Readable | None = None) -> Batch | None:
        """Store a batch and return it; None where another consumer was first."""
        try:
            self.projector.store(batch, readable=readable)
        except OffsetConflict:
            log.warning("consumer.offset_conflict", partitions=len(batch.expected), records=len(batch.records))
            return None
        return batch

    def _await_database(self, batch: Batch, reason: Unavailable) -> Batch | None:
        """Try again until the batch is stored, lost to others, or the process stops; None unless it was stored."""
        for seconds in waits():
            log.warning("consumer.database_unavailable", reason=str(reason), next_attempt_seconds=seconds)
            self._idle(seconds)
            batch = batch.within(self.source.partitions)
            if self.stop.is_set() or not batch.records:
                break
            try:
                return self._attempt(batch)
            except Unavailable as exc:
                reason = exc
        return None

    def _idle(self, seconds: float) -> None:
        """Let time pass in slices, each of which answers signals and rebalances."""
        for _ in range(max(1, round(seconds / SLICE_SECONDS))):
            if self.stop.is_set():
                return
            self.source.idle(seconds=SLICE_SECONDS)
            self.beat()


def waits() -> Iterator[float]:
    """Yield the seconds to wait before each attempt: doubling, up to a limit."""
    seconds = FIRST_WAIT_SECONDS
    while True:
        yield seconds
        seconds = min(seconds * 2, LONGEST_WAIT_SECONDS)


def locator(
    projector: Projector, stop: threading.Event, beat: Callable[[], None] = metrics.LAST_LOOP.set_to_current_time
) -> Callable[[Collection[Partition]], Mapping[Partition, int | None] | None]:
    """Return a function that reads positions, waiting for the database; None once `stop` is set."""

    def locate(partitions: Collection[Partition]) -> Mapping[Partition, int | None] | None:
        for seconds in waits():
            beat()
            try:
                return projector.positions(partitions)
            except Unavailable as exc:
                log.warning("consumer.waiting_for_database", reason=str(exc), next_attempt_seconds=seconds)
            if stop.wait(seconds):
                break
        return None

    return locate


def wait_for_brokers(source: BatchSource, stop: threading.Event, beat: Callable[[], None]) -> bool:
    """Wait until a broker answers, saying so; False where `stop` came first."""
    for seconds in waits():
        beat()
        try:
            source.check(timeout_seconds=3)
        except BrokersUnavailable as exc:
            log.warning("consumer.waiting_for_kafka", reason=str(exc), next_attempt_seconds=seconds)
        else:
            return True
        if stop.wait(seconds):
            break
    return False
