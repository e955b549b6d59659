"""Keeps records that could not become events, and counts those about which nobody has decided yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.types.json import Jsonb

from consumers.reasons import DeadLetterReason
from consumers.records import Record, described_headers

# A record that is read again stays the dead letter that it was. Index: consumers_deadletter_record.
INSERT = """
INSERT INTO consumers_deadletter (topic, partition, "offset", key, headers, value, reason, detail, at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (topic, partition, "offset") DO NOTHING
"""
# Index: consumers_deadletter_open.
OPEN = "SELECT reason, count(*) FROM consumers_deadletter WHERE decision IS NULL GROUP BY reason"


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A record and why it cannot become an event."""

    record: Record
    reason: DeadLetterReason
    detail: str


def insert(connection: BaseDatabaseWrapper, letters: Sequence[Undeliverable]) -> None:
    """Keep these records, in the caller's transaction; safe to repeat."""
    if not letters:
        return
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, [_values(letter) for letter in letters])


def open_by_reason(connection: BaseDatabaseWrapper) -> dict[str, int]:
    """Return how many dead letters of each reason are open; a reason that has none is left out."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN)
        return dict(cursor.fetchall())


def _values(letter: Undeliverable) -> list[Any]:
    record = letter.record
    return [
        record.partition.topic,
        record.partition.number,
        record.offset,
        record.key,
        Jsonb(described_headers(record.headers or ())),
        record.value,
        letter.reason.value,
        letter.detail,
    ]
