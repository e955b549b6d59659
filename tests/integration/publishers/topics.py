"""Topics of a test's own, and what stands on them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

TIMEOUT_SECONDS = 30


def few_topics(prefix: str) -> list[str]:
    """Return topics as a project with one registered model has them: the broker takes its time for each."""
    return sorted(f"{prefix}.{name}" for name in ("doctors.doctor", "doctors.doctor.events", "auditlog.system.events"))


@dataclass(frozen=True, slots=True)
class Read:
    """A record as a consumer sees it."""

    partition: int
    offset: int
    key: str
    headers: tuple[tuple[str, str], ...]
    value: bytes

    @property
    def event_id(self) -> str:
        """Return the event's id."""
        return dict(self.headers)["ce_id"]

    @property
    def outbox_id(self) -> int:
        """Return the outbox id out of the sequence."""
        return int(dict(self.headers)["ce_sequence"].split(":")[1])


class Broker:
    """The test's broker, as a client that is none of ours."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
        """Make a topic and wait until it can be seen."""
        self._admin.create_topics([NewTopic(name, partitions, 1, config=dict(config or {}))])[name].result()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while name not in self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics:
            assert time.monotonic() < deadline

    def configure(self, name: str, setting: str, value: str) -> None:
        """Change a setting of a topic."""
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_SECONDS)

    def settings(self, name: str) -> dict[str, str]:
        """Return the settings of a topic."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        found = self._admin.describe_configs([resource])[resource].result(TIMEOUT_SECONDS)
        return {entry.name: entry.value for entry in found.values()}

    def delete(self, name: str) -> None:
        """Remove a topic."""
        self._admin.delete_topics([name])[name].result(TIMEOUT_SECONDS)

    def read(self, name: str) -> list[Read]:
        """Return all records of a topic, those of a partition in their order."""
        with self._consumer() as consumer:
            partitions = consumer.list_topics(name, timeout=TIMEOUT_SECONDS).topics[name].partitions
            ends = {
                number: consumer.get_watermark_offsets(TopicPartition(name, number), timeout=TIMEOUT_SECONDS)[1]
                for number in partitions
            }
            consumer.assign([TopicPartition(name, number, 0) for number in partitions])
            return list(_until(consumer, sum(ends.values())))

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "read", "enable.auto.commit": False})
        try:
            yield consumer
        finally:
            consumer.close()


def first_appearances(records: list[Read]) -> dict[str, list[int]]:
    """Return the outbox ids of each key in the order in which they appear, without repetitions."""
    seen: dict[str, dict[int, None]] = {}
    for record in records:
        seen.setdefault(record.key, {}).setdefault(record.outbox_id)
    return {key: list(ids) for key, ids in seen.items()}


def _until(consumer: Consumer, count: int) -> Iterator[Read]:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while count:
        assert time.monotonic() < deadline, f"{count} records are still to come."
        for message in consumer.consume(num_messages=min(count, 1_000), timeout=1):
            assert message.error() is None
            count -= 1
            headers: Any = message.headers() or ()
            yield Read(
                partition=message.partition() or 0,
                offset=message.offset() or 0,
                key=_text(message.key()),
                headers=tuple((name, _text(value)) for name, value in headers),
                value=_text(message.value()).encode(),
            )


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
