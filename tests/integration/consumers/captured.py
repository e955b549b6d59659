"""What capture put into the outbox, as the relay would send it."""

from __future__ import annotations

from django.db import connections, transaction

from auditlog.roles import Role
from consumers.projector import Projector
from consumers.records import Partition, Record
from publishers.kafka import headers
from publishers.outbox import Row
from tests.integration.consumers.conftest import acting_as

WAITING = """
SELECT '', id, shard, topic, key, event_id::text, event_type,
       to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), timeline, schema_version, traceparent,
       value
FROM auditlog_outboxevent ORDER BY id
"""


def published() -> list[Record]:
    """Return what waits in the outbox as the relay would send it."""
    with connections["default"].cursor() as cursor:
        cursor.execute(WAITING)
        rows = [Row._make(row) for row in cursor.fetchall()]
    sent = [(row, [(name, _data(data)) for name, data in headers(row, "/clinic")]) for row in rows]
    return [
        Record(Partition(row.topic, 0), number, row.key.encode(), row.value.encode(), tuple(named))
        for number, (row, named) in enumerate(sent)
    ]


def _data(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


ACKNOWLEDGE = """
WITH gone AS (DELETE FROM auditlog_outboxevent RETURNING *)
INSERT INTO auditlog_outboxledger (
    topic, outbox_ids, event_ids, digest, relay, first_occurred_at, last_occurred_at, acknowledged_at
)
SELECT topic, array_agg(id), array_agg(event_id), 0, 'test', min(occurred_at), max(occurred_at), clock_timestamp()
FROM gone GROUP BY topic
"""


def project() -> None:
    """Bring what waits in the outbox into the ledger and the read model."""
    records = published()
    with acting_as(Role.CONSUMER), transaction.atomic(using="audit"):
        assert Projector(group="test").store_again(records) == []
    with connections["default"].cursor() as cursor:
        cursor.execute(ACKNOWLEDGE)
