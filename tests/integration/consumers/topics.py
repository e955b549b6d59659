"""Topics of a test's own, filled by a plain producer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from django.conf import settings
from django.utils import timezone

from tests.unit.consumers.builders import event

TIMEOUT_SECONDS = 30


def new_prefix() -> str:
    """Return a prefix that no other test's topics have."""
    return f"test-{uuid.uuid4().hex[:12]}"


@dataclass
class Topic:
    """A topic of a test."""

    name: str = field(default_factory=lambda: f"{new_prefix()}.doctors.doctor")
    partitions: int = 1

    def __post_init__(self) -> None:
        self.admin = AdminClient({**settings.KAFKA_CONNECTION})

    def create(self) -> None:
        """Make the topic."""
        made = self.admin.create_topics([NewTopic(self.name, self.partitions, 1)])
        made[self.name].result(TIMEOUT_SECONDS)

    def delete(self) -> None:
        """Remove the topic."""
        self.admin.delete_topics([self.name])[self.name].result(TIMEOUT_SECONDS)

    def truncate(self, *, partition: int, before: int) -> None:
        """Delete the records before an offset, as retention does."""
        at = TopicPartition(self.name, partition, before)
        self.admin.delete_records([at])[at].result(TIMEOUT_SECONDS)

    def produce(
        self, values: Iterable[Mapping[str, Any] | bytes | None], *, partition: int | None = None, key: bytes = b"17"
    ) -> None:
        """Append records, round-robin over the partitions unless one is named, and wait for the broker."""
        producer = Producer({**settings.KAFKA_CONNECTION, "linger.ms": 5, "acks": "all"})
        failures = []
        for number, value in enumerate(values):
            producer.produce(
                self.name,
                value=json.dumps(value).encode() if isinstance(value, Mapping) else value,
                key=key,
                partition=number % self.partitions if partition is None else partition,
                on_delivery=lambda error, _message: failures.append(error) if error else None,
            )
            producer.poll(0)
        assert producer.flush(TIMEOUT_SECONDS) == 0
        assert failures == []


def events(count: int) -> list[dict[str, Any]]:
    """Return events of now with ids of their own."""
    now = timezone.now()
    return [event(at=now + timedelta(microseconds=number)) for number in range(count)]


def ids_of(values: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the ids of events."""
    return [value["audit"]["event_id"] for value in values]
