"""Who stores events as consumers do, and who follows the feed."""

from __future__ import annotations

import json
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from auditlog.roles import Role
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from tests.unit.consumers.builders import event, record, uuid7

FEED = "/api/audit/v1/feed/"
GROUP = "test"
TOPIC = "audit.doctors.doctor"


class Writer:
    """Stores events as consumers do; with a connection of each thread that has the consumer's rights."""

    def __init__(self) -> None:
        self.positions: dict[Partition, int | None] = {}

    def store(self, partition: int | Partition, count: int = 1, **audit: Any) -> list[str]:
        """Store new events from a partition, and return their ids."""
        place = partition if isinstance(partition, Partition) else Partition(TOPIC, partition)
        position = self.positions.get(place)
        records = [self.record(place, (position or 0) + number, **audit) for number in range(count)]
        Projector(group=GROUP, alias=_writing()).store(Batch(tuple(records), {place: position}))
        self.positions[place] = (position or 0) + count
        return [_id_of(one) for one in records]

    def repair(self, *records: Record) -> list[str]:
        """Store what consumers had passed."""
        with transaction.atomic(using=_writing()):
            Projector(group=GROUP, alias="writing").store_again(records)
        return [_id_of(one) for one in records]

    def late(self, offset: int = 0) -> str:
        """Store an event that the consumers had passed."""
        return self.repair(self.record(Partition(TOPIC, 0), offset))[0]

    @staticmethod
    def record(place: Partition, offset: int, **audit: Any) -> Record:
        """Return the record of a new event."""
        at = timezone.now()
        return record(event(at=at, event_id=str(uuid7(at)), **audit), partition=place, offset=offset)


def _id_of(stored: Record) -> str:
    event_id: str = json.loads(stored.value or b"")["audit"]["event_id"]
    return event_id


def _writing() -> str:
    if not hasattr(connections._connections, "writing"):  # type: ignore[attr-defined]
        connections["writing"] = connections["audit"].copy(alias="writing")
        connections["writing"].settings_dict["USER"] = Role.CONSUMER.value
    return "writing"


def close() -> None:
    """Close the connections of this thread."""
    connections.close_all()
    if hasattr(connections._connections, "writing"):  # type: ignore[attr-defined]
        connections["writing"].close()
        del connections["writing"]


class Reader:
    """A program that follows the feed."""

    def __init__(self, client: APIClient, **query: Any) -> None:
        self.client = client
        self.query = query
        self.answer: dict[str, Any] = {}
        self.seen: list[dict[str, Any]] = []

    def read(self, **query: Any) -> list[str]:
        """Return the ids of the next answer."""
        answer = self.client.get(FEED, {**self.query, **query})
        assert answer.status_code == 200, answer.content
        self.answer = answer.json()
        self.query["after"] = self.answer["after"]
        self.seen += self.answer["results"]
        return [one["event_id"] for one in self.answer["results"]]

    def read_all(self) -> list[str]:
        """Read until nothing more is stored."""
        found = self.read()
        while self.answer["has_more"]:
            found += self.read()
        return found
