"""The Kafka side of the relay: the only module of this package that knows the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from publishers.outbox import Row

PROPERTIES: dict[str, Any] = {
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    "acks": "all",
    "compression.type": "lz4",
    "partitioner": "murmur2_random",
    "linger.ms": 5,
    # Never given up by age: the outbox is the queue.
    "message.timeout.ms": 0,
    "queue.buffering.max.messages": 200_000,
    "log_level": 2,
}
REFUSALS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError._INVALID_ARG,
}


class BrokersUnavailable(Exception):
    """No Kafka broker answers: see KAFKA_BOOTSTRAP_SERVERS."""


@dataclass(slots=True)
class Outcome:
    """What became of a batch; a row in none of the lists is to be tried again."""

    published: list[Row] = field(default_factory=list)
    rejected: list[tuple[Row, str]] = field(default_factory=list)
    suspects: list[Row] = field(default_factory=list)


class Publisher:
    """An idempotent producer that is thrown away when it can no longer promise the order."""

    def __init__(self, *, connection: Mapping[str, Any], source: str) -> None:
        self._properties = {"client.id": "auditlog-relay", **connection, **PROPERTIES}
        self._source = source
        self._producer = Producer(self._properties)

    def topics(self) -> set[str]:
        """
        Return the topics that exist.

        :raises BrokersUnavailable: if no broker answers.
        """
        try:
            return set(self._producer.list_topics(timeout=5).topics)
        except KafkaException as exc:
            raise BrokersUnavailable(str(exc)) from exc

    def publish(self, rows: Sequence[Row], *, go_on: Callable[[], bool]) -> Outcome:
        """Produce rows in their order and wait for all reports, as long as `go_on` says so."""
        outcome = self._send(rows, go_on)
        if outcome.suspects:
            # A broker refuses a whole batch for one record: alone, each shows whether it is the one.
            suspects, outcome.suspects = outcome.suspects, []
            held = set()
            for row in suspects:
                if (row.topic, row.key) in held or not go_on():
                    continue
                single = self._send([row], go_on)
                outcome.published += single.published
                outcome.rejected += single.rejected + [(row, "refused by the broker") for row in single.suspects]
                if not single.published:
                    held.add((row.topic, row.key))
        return outcome

    def _send(self, rows: Sequence[Row], go_on: Callable[[], bool]) -> Outcome:
        outcome, held, failed = Outcome(), set[tuple[str, str]](), False

        def report(row: Row, error: KafkaError | None, _message: Message) -> None:
            nonlocal failed
            if error is None:
                outcome.published.append(row)
                return
            failed = True
            if error.code() in REFUSALS:
                outcome.suspects.append(row)

        for row in rows:
            if not go_on():
                break
            if (row.topic, row.key) in held:
                continue
            try:
                self._produce(row, partial(report, row))
            except KafkaException as exc:
                if exc.args[0].code() not in REFUSALS:
                    failed = True
                    break
                held.add((row.topic, row.key))
                outcome.rejected.append((row, str(exc.args[0].name())))
            except BufferError:
                break
        while len(self._producer) and go_on():
            self._producer.poll(0.05)
        if len(self._producer):
            failed = True
            self._producer.purge()
            self._producer.flush(1)
        if failed:
            self._producer = Producer(self._properties)
        return outcome

    def _produce(self, row: Row, report: Callable[[KafkaError | None, Message], None]) -> None:
        self._producer.produce(
            row.topic,
            value=row.value.encode(),
            key=row.key.encode(),
            headers=headers(row, self._source),
            on_delivery=report,
        )
        self._producer.poll(0)


def headers(row: Row, source: str) -> list[tuple[str, str | bytes | None]]:
    """Return the CloudEvents headers (binary mode) of an event."""
    result: list[tuple[str, str | bytes | None]] = [
        ("ce_specversion", "1.0"),
        ("ce_id", row.event_id),
        ("ce_source", source),
        ("ce_type", row.event_type),
        ("ce_subject", row.key),
        ("ce_time", f"{row.occurred_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"),
        ("ce_partitionkey", row.key),
        ("ce_sequence", f"{row.timeline:08X}:{row.id:020d}"),
        ("content-type", "application/json"),
    ]
    if row.schema_version:
        result.append(("ce_dataschema", row.schema_version))
    if row.traceparent:
        result.append(("traceparent", row.traceparent))
    return result


def create_topics(*, connection: Mapping[str, Any], names: Sequence[str], partitions: int, replication: int) -> None:
    """Create topics that keep everything for ever; one that exists by now is left alone."""
    config = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    wanted = [NewTopic(name, partitions, replication, config=config) for name in names]
    admin = AdminClient(dict(connection))  # must live until its futures are done
    for future in admin.create_topics(wanted).values() if wanted else ():
        try:
            future.result()
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
