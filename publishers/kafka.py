"""
The Kafka side of the relay: with `brokers`, which administers topics, all that knows the client here.

A producer that has reported one failure emits nothing more: it is emptied, thrown away and made anew, and whatever it
had not reported is sent again from the outbox. So each producer emits for each key an unbroken run of events that
begins at the oldest which is not known to be published, and first appearances stand in their order whatever fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from django.conf import settings

from publishers.metrics import TopicTrouble
from publishers.outbox import Row
from publishers.outcomes import Batch, Failure, Refused, TopicFailed, Unknown
from publishers.proven import Proven
from publishers.spans import ended, send_span

if TYPE_CHECKING:
    from auditlog.spans import OpenSpan, Tracer

log = structlog.get_logger(__name__)

PROPERTIES: dict[str, Any] = {
    "client.id": "auditlog-relay",
    "enable.idempotence": True,
    # A record that is refused ends this producer: no later one of its partition may overtake it. See also `Proven`.
    "enable.gapless.guarantee": True,
    "acks": "all",
    "compression.type": "lz4",
    # Java's default: other producers' keys go to the same partitions.
    "partitioner": "murmur2_random",
    "linger.ms": 2,
    # Never given up by age: the outbox is the queue.
    "message.timeout.ms": 0,
    # How much is in flight, the relay bounds; how large a record may be, the topic says.
    "queue.buffering.max.messages": 10_000_000,
    "message.max.bytes": 100_000_000,
    # Nothing is sent to a topic before it was seen: one that is gone is gone.
    "topic.metadata.propagation.max.ms": 1_000,
    "reconnect.backoff.ms": 250,
    "reconnect.backoff.max.ms": 2_000,
    "socket.keepalive.enable": True,
    # What its errors say, `error_cb` says less often.
    "log_level": 2,
}
CLIENT_LOG = logging.getLogger("publishers.kafka.client")
# The broker refuses a whole request for one record: after a refusal, so many records travel alone.
CAREFUL_RECORDS = 10_000
# A producer that is thrown away may report for so long what is on its way.
LAST_REPORTS_SECONDS = 1.0
# Reports are taken in after so many records.
POLL_RECORDS = 100
QUIET_SECONDS = 10.0
SPECIFICATION = ("ce_specversion", b"1.0")
CONTENT = ("content-type", b"application/json")

REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError._INVALID_ARG,
    }
)
# What happens to records because something else went wrong.
FALLOUT = frozenset(
    {
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._FATAL,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._DESTROY,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    }
)
TROUBLES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: TopicTrouble.MISSING,
    KafkaError._UNKNOWN_TOPIC: TopicTrouble.MISSING,
    KafkaError._UNKNOWN_PARTITION: TopicTrouble.MISSING,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: TopicTrouble.DENIED,
}


class BrokersUnavailable(Exception):
    """No Kafka broker answers: see KAFKA_BOOTSTRAP_SERVERS."""


class BadConfiguration(Exception):
    """The Kafka client does not accept the KAFKA_* settings."""


def failure(error: KafkaError, *, alone: bool) -> Failure:
    """Return what an error says of its event; a refusal is believed only of a record that travelled `alone`."""
    if error.code() in FALLOUT or error.fatal():
        return Unknown(error.name())
    if error.code() in REFUSALS:
        return Refused(error.name()) if alone else Unknown(error.name())
    return TopicFailed(TROUBLES.get(error.code(), TopicTrouble.FAILED), error.name())


class Publisher:
    """
    An idempotent producer; `broken` when it must be thrown away by `restart`.

    :raises BadConfiguration: if the client cannot be made.
    """

    def __init__(self, *, connection: Mapping[str, Any], source: str, tracer: Tracer | None = None) -> None:
        """`source` is `ce_source` of every event; `tracer` makes a span of each that belongs to a sampled trace."""
        self._connection, self._source, self._tracer = dict(connection), source, tracer
        self._targets: dict[str, str] = {}
        self._careful = 0
        self._suspicion = False
        self._proven = Proven()
        self._producer = self._made()
        self.broken = False

    def topics(self, *, timeout_seconds: float) -> set[str]:
        """
        Return all topics that exist, those that were moved by their own name; asking for one by name could create it.

        :raises BrokersUnavailable: if no broker answers.
        """
        there = self._listed(timeout_seconds)
        moved = {topic: there[target] for topic, target in self._targets.items() if target in there}
        found = {name: count for name, count in there.items() if name not in self._targets} | moved
        self._proven.found(found)
        return set(found)

    def follow(self, targets: Mapping[str, str]) -> None:
        """Send the events of these topics to other ones from now on; nothing of a topic that moves may be under way."""
        self._targets = dict(targets)
        self._proven.forget()

    def send(
        self, batch: Batch, *, may_go_on: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """
        Hand over the events of a batch in their order for as long as `may_go_on` says so; does not wait.

        `meanwhile` is called now and then, each time that reports were taken in. Some events may be left out: those of
        a key whose earlier event has to be reported first.
        """
        self._relax()
        held: set[tuple[str, str]] = set()
        for number, row in enumerate(batch.rows):
            if self.broken or not may_go_on():
                break
            if held and (row.topic, row.key) in held:
                continue
            try:
                self._produce(row, batch)
            except BufferError:
                break
            except KafkaException as exc:
                self._not_taken(exc.args[0], row, batch)
                held.add((row.topic, row.key))
            else:
                if self._careful or not self._proven.holds(row.topic, row.key):
                    held.add((row.topic, row.key))
            if number % POLL_RECORDS == 0:
                self.serve(0)
                meanwhile()

    def serve(self, seconds: float, *, at_once: bool = False) -> None:
        """
        Take in reports, waiting at most so long for the first.

        `at_once` for all there are: what was handed over leaves then without waiting for more to travel with.
        """
        try:
            if at_once:
                self._producer.flush(seconds)
            self._producer.poll(0 if at_once else seconds)
        except KafkaException as exc:  # a fatal error is raised here, once
            self.broken = True
            log.warning("relay.producer_failed", code=exc.args[0].name(), detail=exc.args[0].str())

    def restart(self, *, wait: bool) -> None:
        """Throw the producer away with all it holds, and make a new one; `wait` for reports that are on their way."""
        if wait:
            self._producer.purge(in_flight=False)
            self._last_reports()
        self._producer.purge()
        self._last_reports()
        if self._suspicion:
            self._careful, self._suspicion = CAREFUL_RECORDS, False
        self._producer = self._made()
        self.broken = False

    def _listed(self, timeout_seconds: float) -> dict[str, int]:
        """Return the topics that exist, and how many partitions each has."""
        try:
            found = self._producer.list_topics(timeout=timeout_seconds).topics
        except KafkaException as exc:
            self.serve(0)  # the cause is reported there
            raise self._report.unavailable(exc) from exc
        self._report.cause = ""
        return {name: len(topic.partitions) for name, topic in found.items()}

    def _made(self) -> Producer:
        careful = {"batch.num.messages": 1} if self._careful else {}
        self._report = ErrorReport()
        properties = {**self._connection, **PROPERTIES, **careful, "error_cb": self._report}
        self._proven.forget()
        try:
            return Producer(properties, logger=CLIENT_LOG)
        except KafkaException as exc:
            raise BadConfiguration(f"{BadConfiguration.__doc__} {exc.args[0].str()}") from exc

    def _relax(self) -> None:
        if self._careful < 0 and not len(self._producer):
            self._careful = 0
            self._producer = self._made()

    def _last_reports(self) -> None:
        deadline = time.monotonic() + LAST_REPORTS_SECONDS
        while len(self._producer) and time.monotonic() < deadline:
            self.serve(0.02)

    def _produce(self, row: Row, batch: Batch) -> None:
        span = send_span(self._tracer, row) if row.traceparent else None
        labelled = row if span is None else row._replace(traceparent=span.traceparent)
        topic = row.topic
        self._producer.produce(
            self._targets.get(topic, topic),
            row.value,
            row.key,
            on_delivery=partial(self._reported, row, batch, span),
            headers=headers(labelled, self._source),
        )
        batch.waiting += 1

    def _reported(
        self, row: Row, batch: Batch, span: OpenSpan | None, error: KafkaError | None, message: Message
    ) -> None:
        batch.waiting -= 1
        if span is not None:
            ended(span, partition=message.partition(), offset=message.offset(), error=error.name() if error else None)
        if error is None:
            batch.published.append(row)
            if not self._proven.is_whole(row.topic):
                self._proven.reached(row.topic, row.key, message.partition() or 0)
            if self._careful > 0:
                # Never 0 by counting: below it, the next chance to relax is taken.
                self._careful = self._careful - 1 or -1
            return
        self.broken = True
        alone = self._careful != 0
        batch.failures.append((row, failure(error, alone=alone)))
        self._suspicion = self._suspicion or (error.code() in REFUSALS and not alone)

    def _not_taken(self, error: KafkaError, row: Row, batch: Batch) -> None:
        found = failure(error, alone=True)
        # Refused by the client itself: nothing was sent, and what follows of other keys is not concerned.
        self.broken = self.broken or not isinstance(found, Refused)
        batch.failures.append((row, found))


class ErrorReport:
    """
    Logs the client's errors, each kind now and then: a broker that is away fails many times a second.

    `cause` is what an operator has to put right, until a broker answers: a password, a certificate, a name.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[int, float] = {}
        self.cause = ""

    def __call__(self, error: KafkaError) -> None:
        """Log the error unless one of its kind was logged just now."""
        detail = error.str()
        # With TLS 1.3 a broker refuses our certificate after the handshake: for the client a connection that failed.
        if hint := settings.KAFKA_HINTS.get("_SSL" if "SSL routines" in detail else error.name()):
            self.cause = detail = f"{detail} ({hint})"
        now = self._clock()
        if now - self._said.get(error.code(), -QUIET_SECONDS) >= QUIET_SECONDS:
            self._said[error.code()] = now
            log.warning("relay.kafka_unreachable", code=error.name(), detail=detail)

    def unavailable(self, exc: KafkaException) -> BrokersUnavailable:
        """Return that no broker answers, and the cause where it is known."""
        return BrokersUnavailable(f"No Kafka broker answers: {self.cause or exc.args[0].str()}")


def headers(row: Row, source: str) -> list[tuple[str, str | bytes | None]]:
    """Return the CloudEvents headers (binary mode) of an event."""
    key = row.key
    result: list[tuple[str, str | bytes | None]] = [
        SPECIFICATION,
        ("ce_id", row.event_id),
        ("ce_source", source),
        ("ce_type", row.event_type),
        ("ce_subject", key),
        ("ce_time", row.occurred_at),
        ("ce_partitionkey", key),
        ("ce_sequence", _timeline(row.timeline) + str(row.id).zfill(20)),
        CONTENT,
    ]
    if row.schema_version:
        result.append(("ce_dataschema", row.schema_version))
    if row.traceparent:
        result.append(("traceparent", row.traceparent))
    return result


@cache
def _timeline(number: int) -> str:
    """Return how the sequences of a timeline begin: one for a server's life, until another takes over."""
    return f"{number:08X}:"
