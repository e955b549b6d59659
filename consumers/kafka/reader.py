"""Reads a topic from one offset to another, outside of any group: nothing is moved by it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from auditlog import topics
from consumers.faults import BrokersUnavailable
from consumers.kafka.errors import ErrorReport
from consumers.kafka.records import as_record
from consumers.kafka.source import PROPERTIES
from consumers.records import Partition, Record

# A broker that says nothing for so long is away.
SILENCE_SECONDS = 30.0
RECORDS_AT_ONCE = 1_000
POLL_SECONDS = 0.5


class TopicReader:
    """Reads records by their offsets. Not safe for more than one thread; to be closed, or used in a `with`."""

    def __init__(self, *, connection: Mapping[str, Any]) -> None:
        properties = {
            "client.id": "auditlog-reader",
            **connection,
            **PROPERTIES,
            # Required by the client, never joined.
            "group.id": f"auditlog-reader-{uuid.uuid4()}",
            "enable.partition.eof": True,
            "error_cb": ErrorReport(),
        }
        self._consumer = Consumer(properties, logger=logging.getLogger("consumers.kafka.client"))

        self._closed = False

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def topics(self) -> set[str]:
        """
        Return the topics that exist.

        :raises BrokersUnavailable: if no broker answers.
        """
        try:
            return set(self._consumer.list_topics(timeout=SILENCE_SECONDS).topics)
        except KafkaException as exc:
            raise _unavailable(exc) from exc

    def bounds(self, topic: str) -> dict[Partition, tuple[int, int]]:
        """
        Return the first offset of each partition and the one after its last; nothing for a topic that does not exist.

        :raises BrokersUnavailable: if no broker answers.
        """
        try:
            # All topics: asking for one by name could create it.
            found = self._consumer.list_topics(timeout=SILENCE_SECONDS).topics.get(topic)
            numbers = sorted(found.partitions) if found is not None and found.error is None else []
            return {Partition(topic, number): self._watermarks(topic, number) for number in numbers}
        except KafkaException as exc:
            raise _unavailable(exc) from exc

    def bounds_of_all(self, topic: str) -> dict[Partition, tuple[int, int]]:
        """
        Return the same for a topic and all that it was moved to.

        :raises BrokersUnavailable: if no broker answers.
        """
        try:
            names = self._consumer.list_topics(timeout=SILENCE_SECONDS).topics
        except KafkaException as exc:
            raise _unavailable(exc) from exc
        found: dict[Partition, tuple[int, int]] = {}
        for name in sorted(name for name in names if name == topic or topics.original(name) == topic):
            found |= self.bounds(name)
        return found

    def offset_at(self, partition: Partition, moment: datetime) -> int | None:
        """
        Return the first offset whose record is dated `moment` or later; None where there is none.

        Records are dated by the clock of whoever sent them.

        :raises BrokersUnavailable: if no broker answers.
        """
        at = TopicPartition(partition.topic, partition.number, round(moment.timestamp() * 1000))
        try:
            (found,) = self._consumer.offsets_for_times([at], timeout=SILENCE_SECONDS)
        except KafkaException as exc:
            raise _unavailable(exc) from exc
        return found.offset if found.offset >= 0 else None

    def read(self, partition: Partition, *, start: int, end: int) -> Iterator[Record]:
        """
        Yield the records of a partition from offset `start` up to before `end`, as far as the topic has them.

        :raises BrokersUnavailable: if the broker goes silent meanwhile.
        """
        if start >= end:
            return
        self._consumer.assign([TopicPartition(partition.topic, partition.number, start)])
        try:
            heard = time.monotonic()
            while time.monotonic() - heard < SILENCE_SECONDS:
                messages = self._consumer.consume(RECORDS_AT_ONCE, timeout=POLL_SECONDS)
                for message in messages:
                    error = message.error()
                    if error is not None and error.code() == KafkaError._PARTITION_EOF:
                        return
                    if error is not None:
                        raise BrokersUnavailable(error.str())
                    record = as_record(message)
                    if record.offset < end:
                        yield record
                    if record.offset >= end - 1:
                        return
                if messages:
                    # Not sooner: whoever takes the records may take long.
                    heard = time.monotonic()
            raise BrokersUnavailable(f"Nothing of {partition.topic}[{partition.number}] in {SILENCE_SECONDS} seconds.")
        finally:
            # Whoever did not read to the end may have closed it before this is tidied up.
            if not self._closed:
                self._consumer.unassign()

    def close(self) -> None:
        """Let the connections go."""
        self._closed = True
        self._consumer.close()

    def _watermarks(self, topic: str, number: int) -> tuple[int, int]:
        at = TopicPartition(topic, number)
        bounds: tuple[int, int] = self._consumer.get_watermark_offsets(at, timeout=SILENCE_SECONDS)
        return bounds


def _unavailable(exc: KafkaException) -> BrokersUnavailable:
    return BrokersUnavailable(exc.args[0].str())
