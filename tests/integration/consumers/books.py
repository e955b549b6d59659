"""What committed, what was acknowledged and what is stored, as a test wants it."""

from __future__ import annotations

import json
from datetime import datetime
from io import StringIO
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import connections

from consumers.projector import Projector
from consumers.records import Batch, Partition
from tests.unit.consumers.builders import event, record

TOPIC = "test.doctors.doctor"


def execute(statement: str, parameters: list[Any] | None = None) -> None:
    """Run a statement as the tables' owner."""
    with connections["default"].cursor() as cursor:
        cursor.execute(statement, parameters)


def wait_in_outbox(event_id: UUID, *, at: datetime, topic: str = TOPIC) -> None:
    """Put an event into the outbox."""
    execute(
        "INSERT INTO auditlog_outboxevent (shard, topic, key, event_id, event_type, occurred_at, timeline, value) "
        "VALUES (1, %s, '17', %s, 'x', %s, 1, '{}')",
        [topic, event_id, at],
    )


def acknowledge(*event_ids: UUID, at: datetime, topic: str = TOPIC, acknowledged_at: datetime | None = None) -> None:
    """Put events into the ledger."""
    execute(
        "INSERT INTO auditlog_outboxledger (topic, outbox_ids, event_ids, digest, relay, first_occurred_at, "
        "last_occurred_at, acknowledged_at) VALUES (%s, '{}', %s, 0, 'test', %s, %s, coalesce(%s, now()))",
        [topic, list(event_ids), at, at, acknowledged_at],
    )


def store(*event_ids: UUID, at: datetime, partition: int = 0, topic: str = TOPIC) -> None:
    """Put events into the read model."""
    place = Partition(topic, partition)
    records = [record(event(at=at, event_id=str(i)), partition=place, offset=n) for n, i in enumerate(event_ids)]
    Projector(group="test").store(Batch(tuple(records), {place: None}))


def reconciled(*arguments: str) -> tuple[dict[str, Any], int]:
    """Run `audit_reconcile` and return its report and its exit code."""
    out = StringIO()
    try:
        call_command("audit_reconcile", "--wait", "0", *arguments, "--json", stdout=out)
    except SystemExit as stopped:
        return json.loads(out.getvalue()), int(stopped.code or 0)
    return json.loads(out.getvalue()), 0
