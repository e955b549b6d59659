"""Appends records to topics as the relay would: idempotent, acknowledged by all, to the partition of their key."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumers.faults import ConsumerError
from consumers.kafka.errors import ErrorReport
from consumers.records import Record

PROPERTIES: dict[str, Any] = {
    "client.id": "auditlog-repair",
    "enable.idempotence": True,
    "enable.gapless.guarantee": True,
    "acks": "all",
    "compression.type": "lz4",
    # The relay's: the keys of an object go to one partition.
    "partitioner": "murmur2_random",
    # What the topic takes decides.
    "message.max.bytes": 100_000_000,
    # A person waits for the answer.
    "message.timeout.ms": 30_000,
    "topic.metadata.propagation.max.ms": 1_000,
    "log_level": 2,
}
# Records under way at most: so many are in memory.
UNDER_WAY = 1_000
POLL_SECONDS = 0.1


class NotWritten(ConsumerError):
    """The brokers did not take all of the records: those before the first failure of a partition are there."""


class TopicWriter:
    """A producer of records that exist already."""

    def __init__(self, *, connection: Mapping[str, Any]) -> None:
        properties = {**connection, **PROPERTIES, "error_cb": ErrorReport()}
        self._producer = Producer(properties, logger=logging.getLogger("consumers.kafka.client"))
        self._failure: KafkaError | None = None

    def write(self, records: Iterable[Record]) -> int:
        """
        Append records in their order to the topics that they name, wait for the acknowledgements, return how many.

        Offset and partition of a record are not looked at: its key decides, as it did the first time.

        :raises NotWritten: at the first record that is not acknowledged.
        """
        count = 0
        try:
            for record in records:
                self._wait(UNDER_WAY)
                self._produce(record)
                count += 1
            self._wait(0)
        except KafkaException as exc:
            raise NotWritten(f"{NotWritten.__doc__} {exc.args[0].str()}") from exc
        return count

    def _produce(self, record: Record) -> None:
        headers: Any = list(record.headers or ())
        topic = record.partition.topic
        self._producer.produce(topic, value=record.value, key=record.key, headers=headers, on_delivery=self._reported)

    def _wait(self, under_way: int) -> None:
        """Wait until no more than so many records are under way, and all that were reported are on their topics."""
        self._producer.poll(0)
        while len(self._producer) > under_way and self._failure is None:
            self._producer.poll(POLL_SECONDS)
        if self._failure is not None:
            self._producer.purge()
            raise KafkaException(self._failure)

    def _reported(self, error: KafkaError | None, _message: Message) -> None:
        # The first says why; the others fell with it.
        self._failure = self._failure or error
