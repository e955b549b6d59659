"""
Restores what is missing: from the topic into the read model, from the read model onto the topic; the rest is named.

Ids stay the same, so that a repair can be repeated. Each is an event of the system itself, told before it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import connections, transaction
from msgspec.structs import replace

from auditlog.queries.accounts import Window
from auditlog.vocabulary import Action
from consumers import deadletters, decisions, originals
from consumers.kafka import TopicWriter
from consumers.projector import Projector
from consumers.reconciliation.on_topic import TopicSide, id_of
from consumers.records import Record

log = structlog.get_logger(__name__)
Item = TypeVar("Item")

# Records of one transaction, and of one system event.
BATCH = 500


class Restored(StrEnum):
    """Where to."""

    READ_MODEL = "read_model"  # out of the topic
    TOPIC = "topic"  # out of the read model


@dataclass(slots=True)
class Repaired:
    """What was restored, and what cannot be: it is on neither side."""

    to_read_model: list[UUID] = field(default_factory=list)
    to_topic: list[UUID] = field(default_factory=list)
    unrecoverable: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Repair:
    """Restores events; `reason` says why, and is part of the audit trail."""

    topics: TopicSide
    projector: Projector
    writer: TopicWriter
    reason: str

    def read_model(self, missing: Mapping[str, Sequence[UUID]], window: Window, done: Repaired) -> None:
        """
        Store events that the read model lacks, out of their topics.

        :raises BrokersUnavailable: if a topic cannot be read; what was stored by then stays.
        """
        for topic, event_ids in missing.items():
            left = set(event_ids)
            for records in _batches(self.topics.records(topic, event_ids, window), BATCH):
                found = _ids(records)
                self._store(records, found)
                done.to_read_model += found
                left.difference_update(found)
            done.unrecoverable += sorted(left)

    def topic(self, lost: Mapping[str, Sequence[UUID]], done: Repaired) -> None:
        """
        Publish events again that their topics lack, out of the read model; of one that was moved, to where it is now.

        :raises NotWritten: if the brokers do not take them; what was written by then stays.
        """
        for topic, event_ids in lost.items():
            target = self.topics.current(topic) if event_ids else topic
            for ids in _batches(event_ids, BATCH):
                found_there = originals.by_ids(connections[self.projector.alias], ids)
                records = [_led_to(target, record) for record in found_there]
                found = _ids(records)
                if found:
                    self._tell(Restored.TOPIC, found)
                    self.writer.write(records)
                done.to_topic += found
                done.unrecoverable += sorted(set(ids).difference(found, done.unrecoverable))

    def _store(self, records: Sequence[Record], found: Sequence[UUID]) -> None:
        alias = self.projector.alias
        with transaction.atomic(using=alias, durable=True):
            self._tell(Restored.READ_MODEL, found)
            dead = self.projector.store_again(records)
            deadletters.insert(connections[alias], dead)

    def _tell(self, to: Restored, event_ids: Sequence[UUID]) -> None:
        data = {"restored_to": to, "events": [str(event_id) for event_id in event_ids]}
        decisions.record(action=Action.EVENTS_RESTORED, data=data, reason=self.reason)
        log.warning("reconcile.restored", to=to, events=len(event_ids))


def _led_to(topic: str, record: Record) -> Record:
    return replace(record, partition=record.partition._replace(topic=topic))


def _batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _ids(records: Iterable[Record]) -> list[UUID]:
    return list(_named(records))


def _named(records: Iterable[Record]) -> Iterator[UUID]:
    for record in records:
        event_id = id_of(record)
        if event_id is not None:
            yield event_id
