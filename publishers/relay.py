"""
The relay's loop: claim, fetch, publish, acknowledge.

At most two batches are in flight, and never two with events of the same shard: while one is handed over, PostgreSQL
lets go of the other and fetches what comes after it (see `turns`). A shard with events in flight is not fetched from: a
fetch behind the last id would miss what commits late, and one that leaves out the ids in flight has to look at each.

Whatever goes wrong, the answer is the same: throw the producer away, let go of what it had in flight, acknowledge what
it had reported, and begin again with what the outbox holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

import psycopg
import structlog

from auditlog import tracing
from publishers import ledger, metrics, outbox, sessions
from publishers.backoff import Backoff
from publishers.hints import Hints
from publishers.kafka import BrokersUnavailable, Publisher
from publishers.leases import Leases
from publishers.metrics import GivenUp, TopicTrouble
from publishers.outbox import SHARD, TOPIC, TRACEPARENT, Row
from publishers.outcomes import Batch, Refused, TopicFailed, Unknown
from publishers.pauses import Pauses
from publishers.routes import Routes
from publishers.scanner import SURVEY_SECONDS, Scanner, age_seconds
from publishers.topics import Topics
from publishers.turns import Turn

log = structlog.get_logger(__name__)
# Asked before a line is made for each event.
DEBUG_LOG = logging.getLogger(__name__)

REPORTS_SECONDS = 0.05
HINTS_SECONDS = 0.5
LEDGER_SECONDS = 60.0
LEDGER_ROWS = 2_000
# Reports that fail to come are said after so long, then each time after twice as long.
FIRST_SILENCE_SECONDS = 5.0
# Where brokers answer all the same, the topics of what they do not report are at fault.
SILENT_TOPIC_SECONDS = 20.0
KAFKA_SECONDS = 5.0
SLICE_SECONDS = 0.25
# A standby, or a primary that was made read-only, takes nothing for now: the same as one that is not there.
AWAY = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a relay takes on at once, and how long it waits."""

    batch_rows: int
    batch_bytes: int
    poll_seconds: float
    drain_seconds: float
    ledger_days: int


class Relay:
    """One relay process."""

    def __init__(
        self,
        *,
        parameters: dict[str, Any],
        publisher: Publisher,
        leases: Leases,
        stop: threading.Event,
        limits: Limits,
        hints: Hints | None = None,
        beat: Callable[[], None] = metrics.LAST_LOOP.set_to_current_time,
    ) -> None:
        """`beat` is called each time that the loop goes round, also while it waits for a server."""
        self._parameters, self._hints = parameters, hints or Hints()
        self._publisher, self._leases, self._stop, self._limits = publisher, leases, stop, limits
        self._beat = beat
        self._scanner = Scanner(rows=limits.batch_rows, size=limits.batch_bytes)
        self._topics, self._routes = Topics(), Routes()
        self._in_flight: list[Batch] = []
        # Under way to PostgreSQL while a batch is handed over, and only then.
        self._turn: Turn | None = None
        # Fetched with the last turn, to be sent next.
        self._at_hand: list[Row] = []
        self._hints_at = self._ledger_at = 0.0
        # How long no report may come before it is said.
        self._silence_seconds = FIRST_SILENCE_SECONDS
        self._pauses = Pauses(longest_seconds=limits.poll_seconds)
        self._trouble = Backoff(0.1, 5.0)
        self._drain_until: float | None = None

    def run(self) -> None:
        """Publish until told to stop; waits with backoff while PostgreSQL or Kafka is away."""
        self._await_brokers()
        backoff = Backoff(0.1, 5.0)
        while not self._finished():
            self._beat()
            try:
                with sessions.connect(self._parameters) as connection:
                    self._hints.attach(connection)
                    backoff.succeeded()
                    # Another server may have taken over, which never saw the last ids.
                    self._scanner.forget()
                    self._turn, self._at_hand = None, []
                    self._work(connection)
            except AWAY as exc:
                seconds = backoff.failed()
                metrics.UNAVAILABLE.labels("postgresql").inc()
                log.warning("relay.waiting_for_postgresql", detail=str(exc).strip(), next_attempt_seconds=seconds)
                self._wait(seconds)
        self._hints.close()
        self._publisher.restart(wait=False)

    def _await_brokers(self) -> None:
        """Wait until a broker answers, saying so: without one no shard is worth holding."""
        while not self._finished():
            self._beat()
            try:
                self._publisher.topics(timeout_seconds=KAFKA_SECONDS)
            except BrokersUnavailable as exc:
                self._wait(self._no_brokers(exc))
            else:
                self._trouble.succeeded()
                return

    def _no_brokers(self, reason: BrokersUnavailable) -> float:
        """Say that no broker answers, and return how long to wait."""
        seconds = self._trouble.failed()
        metrics.UNAVAILABLE.labels("kafka").inc()
        log.warning("relay.waiting_for_kafka", detail=str(reason), next_attempt_seconds=seconds)
        return seconds

    def _finished(self) -> bool:
        """Return whether to end: told to stop, and nothing in flight, or no time left to wait for it."""
        if not self._stop.is_set():
            return False
        if self._drain_until is None:
            self._drain_until = time.monotonic() + self._limits.drain_seconds
        return not self._in_flight or time.monotonic() >= self._drain_until

    def _work(self, connection: psycopg.Connection[Any]) -> None:
        while not self._finished():
            self._beat()
            self._keep_leases(connection)
            self._look_around(connection)
            started = self._start(connection)
            if self._publisher.broken:
                self._give_up(GivenUp.PRODUCER_FAILED)
            if self._in_flight and not (started and self._has_room()):
                self._settle(connection)
            elif not started:
                self._rest()
        if self._in_flight:
            self._give_up(GivenUp.DRAIN_OVER)
            self._settle(connection)
        self._leases.release(connection)

    def _keep_leases(self, connection: psycopg.Connection[Any]) -> None:
        """Renew and balance in time; let go of everything in flight as soon as a lease is not sure any more."""
        if self._in_flight and not self._leases.valid():
            self._give_up(GivenUp.LEASE_LOST)
        if self._leases.due():
            in_flight = self._shards_in_flight()
            before = dict(self._leases.held)
            lost = self._leases.balance(connection, in_flight=in_flight)
            # What is new here, or was meanwhile another's, is scanned from its beginning.
            self._scanner.forget(shard for shard, epoch in self._leases.held.items() if before.get(shard) != epoch)
            metrics.SHARDS.set(len(self._leases.held))
            if lost & in_flight:
                self._give_up(GivenUp.LEASE_LOST)
            if self._routes.read(connection):
                self._publisher.follow(self._routes.targets)
                self._topics.doubt()
                log.info("relay.topics_moved", topics=self._routes.targets)
        self._routes.confirm(connection, owner=self._leases.owner, in_flight=self._topics_in_flight)

    def _look_around(self, connection: psycopg.Connection[Any]) -> None:
        """Do what is done now and then."""
        self._scanner.look_around(connection, held=self._leases.held)
        now = time.monotonic()
        if now >= self._hints_at:
            self._hints_at = now + HINTS_SECONDS
            self._hints.wait(0, balance=self._leases.hurry)
            self._publisher.serve(0)
        if now >= self._ledger_at and 0 in self._leases.held:
            count = ledger.purge(connection, days=self._limits.ledger_days, rows=LEDGER_ROWS)
            metrics.LEDGER_PURGED.inc(count)
            self._ledger_at = now if count == LEDGER_ROWS else now + LEDGER_SECONDS

    def _has_room(self) -> bool:
        """Return whether one more batch may be in flight: two where there is much to do."""
        return not self._in_flight or (self._scanner.is_halved and len(self._in_flight) == 1)

    def _start(self, connection: psycopg.Connection[Any]) -> bool:
        """Fetch and send a batch; returns False where nothing is to be sent now."""
        if self._stop.is_set() or not self._has_room():
            return False
        halved = self._scanner.is_halved
        try:
            rows = self._admitted(self._next(connection))
        except BrokersUnavailable as exc:
            self._scanner.forget()
            self._wait(self._no_brokers(exc))
            return False
        if not rows:
            # The other half was not looked at.
            return halved and not self._in_flight
        batch = Batch(rows)
        self._in_flight.append(batch)
        turn_over = partial(self._turn_over, connection)
        self._publisher.send(batch, may_go_on=self._leases.valid, meanwhile=turn_over)
        self._end_turn()
        metrics.IN_FLIGHT.set(sum(batch.waiting for batch in self._in_flight))
        return True

    def _next(self, connection: psycopg.Connection[Any]) -> list[Row]:
        rows, self._at_hand = self._at_hand, []
        return rows or self._fetch(connection)

    def _fetch(self, connection: psycopg.Connection[Any]) -> list[Row]:
        shards = self._leases.held.keys() - self._leases.leaving - self._shards_in_flight()
        return self._scanner.fetch(
            connection, shards=shards, stopped=self._held_back(), in_flight=bool(self._in_flight)
        )

    def _held_back(self) -> frozenset[str]:
        """Return the topics of which nothing is fetched now."""
        return self._topics.stopped() | self._routes.draining

    def _turn_over(self, connection: psycopg.Connection[Any]) -> None:
        """While a batch is handed over, let PostgreSQL have the one before it, as soon as all of that is published."""
        if self._turn is not None:
            self._turn.look()
            return
        earlier, *later = self._in_flight
        if not later or not earlier.is_published or not self._scanner.is_halved or self._publisher.broken:
            return
        shards = self._leases.held.keys() - self._leases.leaving - set[int]().union(*(b.shards for b in later))
        stopped = self._held_back()
        scans = self._scanner.scans(shards=shards, stopped=stopped)
        self._turn = Turn(connection, batch=earlier, leases=self._leases, scans=scans, stopped=stopped)

    def _end_turn(self) -> None:
        """Take what was fetched meanwhile, unless what it was fetched after is still there."""
        if self._turn is None:
            return
        turn, self._turn = self._turn, None
        count, survey, rows = turn.end()
        self._scanner.surveyed(survey)
        self._scanner.fetched(turn.scans, rows, in_flight=True)
        self._in_flight.remove(turn.batch)
        if count == len(turn.batch.rows):
            self._at_hand = rows
        else:
            self._scanner.forget()
        self._acknowledged(turn.batch, count)

    def _admitted(self, rows: list[Row]) -> list[Row]:
        """
        Return the events whose topics exist.

        :raises BrokersUnavailable: if no broker says which do.
        """
        if not (unknown := self._topics.unknown(set(map(TOPIC, rows)))):
            return rows
        self._topics.found(unknown, self._publisher.topics(timeout_seconds=self._kafka_seconds()))
        missing = self._topics.unknown(unknown)
        self._scanner.forget({row.shard for row in rows if row.topic in missing})
        return [row for row in rows if row.topic not in missing]

    def _settle(self, connection: psycopg.Connection[Any]) -> None:
        """Wait a moment for reports and conclude the batches that have all of theirs."""
        if all(batch.waiting for batch in self._in_flight):
            # Under load the next batch is on its way, and records wait for it to travel together.
            self._publisher.serve(REPORTS_SECONDS, at_once=not self._scanner.is_halved)
        for batch in [batch for batch in self._in_flight if not batch.waiting]:
            self._conclude(connection, batch)
            self._in_flight.remove(batch)
        metrics.IN_FLIGHT.set(sum(batch.waiting for batch in self._in_flight))
        self._mind_silence()

    def _conclude(self, connection: psycopg.Connection[Any], batch: Batch) -> None:
        """Acknowledge what was published, park what was refused; all else stays in the outbox. Safe to repeat."""
        count = outbox.acknowledge(connection, rows=batch.published, leases=self._leases) if batch.published else 0
        for row, failure in batch.failures:
            match failure:
                case Refused(reason):
                    self._park(connection, row, reason)
                case TopicFailed(trouble, reason):
                    self._topics.stop(row.topic, trouble=trouble, reason=reason)
                case Unknown():
                    pass
                case _:
                    assert_never(failure)
        if count != len(batch.rows):
            self._scanner.forget(batch.shards)
        self._acknowledged(batch, count)

    def _acknowledged(self, batch: Batch, count: int) -> None:
        """Note that so many of what was published left the outbox."""
        if count < len(batch.published):
            log.warning("relay.not_acknowledged", count=len(batch.published) - count)
            self._wait(self._trouble.failed())
        if count:
            self._trouble.succeeded()
            self._pauses.published()
            self._topics.worked(set(map(TOPIC, batch.published)))
            metrics.PUBLISHED.inc(count)
            metrics.DELAY_SECONDS.observe(age_seconds(batch.published))
            self._tell(batch, count)

    def _tell(self, batch: Batch, count: int) -> None:
        traces = tracing.trace_ids(map(TRACEPARENT, batch.published))
        log.info("relay.published", count=count, shards=len(batch.shards), **traces)
        if DEBUG_LOG.isEnabledFor(logging.DEBUG):
            for row in batch.published:
                trace_id = tracing.trace_id(row.traceparent)
                log.debug("relay.event_published", event_id=row.event_id, topic=row.topic, trace_id=trace_id)

    def _park(self, connection: psycopg.Connection[Any], row: Row, reason: str) -> None:
        self._scanner.parks_in(row.shard)
        if outbox.park(connection, row=row, reason=reason, leases=self._leases):
            self._trouble.succeeded()
            metrics.PARKED.inc()
            facts = {"id": row.id, "event_id": row.event_id, "trace_id": tracing.trace_id(row.traceparent)}
            log.error("relay.parked", **facts, topic=row.topic, reason=reason)

    def _give_up(self, reason: GivenUp) -> None:
        """Let go of what is in flight: what was not reported by now is sent again, by whoever owns the shard then."""
        self._publisher.restart(wait=reason is GivenUp.PRODUCER_FAILED)
        count = sum(batch.waiting for batch in self._in_flight)
        for batch in self._in_flight:
            batch.waiting = 0
        self._at_hand = []
        self._scanner.forget()
        metrics.GIVEN_UP.labels(reason).inc()
        log.warning("relay.given_up", reason=reason, unreported=count)
        if reason is GivenUp.PRODUCER_FAILED:
            self._topics.doubt()
            self._wait(self._trouble.failed())

    def _shards_in_flight(self) -> set[int]:
        """Return the shards of what is under way or about to be."""
        return set(map(SHARD, self._at_hand)).union(*(batch.shards for batch in self._in_flight))

    def _topics_in_flight(self) -> set[str]:
        return set(map(TOPIC, self._at_hand)).union(*(map(TOPIC, batch.rows) for batch in self._in_flight))

    def _mind_silence(self) -> None:
        """Say it when reports fail to come, and stop the topics where it lies with them."""
        now = time.monotonic()
        quiet = max((batch.quiet_seconds(now) for batch in self._in_flight), default=0.0)
        if quiet >= SURVEY_SECONDS:
            # No fetch says meanwhile how old the oldest event is.
            metrics.OLDEST_SECONDS.set(max(age_seconds(batch.rows) for batch in self._in_flight))
        if quiet < self._silence_seconds:
            if quiet < FIRST_SILENCE_SECONDS:
                self._silence_seconds = FIRST_SILENCE_SECONDS
            return
        self._silence_seconds = quiet * 2
        waiting = sum(batch.waiting for batch in self._in_flight)
        metrics.UNAVAILABLE.labels("kafka").inc()
        log.warning("relay.waiting_for_kafka", unreported=waiting, seconds=round(quiet))
        if quiet >= SILENT_TOPIC_SECONDS and self._brokers_answer():
            for topic in {row.topic for batch in self._in_flight for row in batch.unreported()}:
                self._topics.stop(topic, trouble=TopicTrouble.SILENT)
            self._give_up(GivenUp.TOPIC_SILENT)

    def _brokers_answer(self) -> bool:
        try:
            self._publisher.topics(timeout_seconds=self._kafka_seconds())
        except BrokersUnavailable:
            return False
        return True

    def _kafka_seconds(self) -> float:
        """Return how long to wait for an answer: not so long that a lease could run out."""
        return min(KAFKA_SECONDS, self._leases.seconds / 4)

    def _rest(self) -> None:
        """Wait for a hint that something was committed, for longer each time."""
        until = time.monotonic() + self._pauses.take()
        while (left := until - time.monotonic()) > 0 and not self._stop.is_set() and not self._leases.due():
            if self._hints.wait(min(left, SLICE_SECONDS), balance=self._leases.hurry):
                return

    def _wait(self, seconds: float) -> None:
        """Let time pass, not so long that a lease could run out, and hardly any where the process is to end."""
        if not self._stop.wait(min(seconds, self._leases.seconds / 4)):
            return
        time.sleep(min(seconds, SLICE_SECONDS) if self._in_flight else 0)
