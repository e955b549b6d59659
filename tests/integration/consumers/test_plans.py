"""The statements of the loss proof keep to their indexes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connections
from django.utils import timezone

from auditlog.partitions import partition_name
from auditlog.queries import accounts
from auditlog.queries.accounts import MINUTE, Window
from consumers.reconciliation import chains, stored
from tests.integration.consumers.books import execute

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
LEDGER = """
INSERT INTO auditlog_outboxledger (
    topic, outbox_ids, event_ids, digest, relay, first_occurred_at, last_occurred_at, acknowledged_at
)
SELECT 'x', '{}', ARRAY[gen_random_uuid()], 0, 'x', at, at, at
FROM (SELECT %s::timestamptz - make_interval(secs => 20000 - n) AS at FROM generate_series(1, 20000) n) moments
"""
ROWS = """
INSERT INTO auditlog_auditlog (
    event_id, occurred_at, model, object_pk, action, category, before, after, topic, partition, "offset", sequence
)
SELECT (left(auditlog_uuid_floor(at)::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, at, 'a.b',
       (n %% 100)::text, 'update', 'write', '{"a": 1}', '{"a": 1}', 'x.a.b', 0, n, lpad(n::text, 10, '0')
FROM (SELECT n, %s::timestamptz - make_interval(secs => (20000 - n) / 10.0) AS at FROM generate_series(1, 20000) n) rows
"""


def plan_of(statement: str, window: Window) -> str:
    """Return how a statement is executed."""
    with connections["default"].cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}", dict(window.bounds))
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.fixture
def now(read_model: None) -> datetime:
    """Twenty thousand acknowledgements and events up to now."""
    at = timezone.now()
    execute(LEDGER, [at])
    execute(ROWS, [at])
    execute("ANALYZE auditlog_outboxledger, auditlog_auditlog")
    execute("SELECT brin_summarize_new_values('auditlog_outboxledger_times')")
    return at - timedelta(minutes=2)


def test_the_committed_events_of_a_minute_are_found_without_reading_the_ledger(now: datetime) -> None:
    plan = plan_of(accounts.MINUTES, Window(now, now + MINUTE))
    assert "Bitmap Index Scan on auditlog_outboxledger_times" in plan
    assert "Seq Scan on auditlog_outboxledger" not in plan


def test_the_stored_events_of_a_minute_are_found_by_their_ids(now: datetime) -> None:
    plan = plan_of(stored.MINUTES, Window(now, now + MINUTE))
    # Partitions of other months are empty.
    assert f"Seq Scan on {partition_name(now)}" not in plan


def test_the_event_before_an_event_is_found_by_its_object(now: datetime) -> None:
    plan = plan_of(chains.IN_WINDOW, Window(now, now + MINUTE))
    assert "Index Scan Backward using auditlog_auditlog" in plan
    # Partitions of other months are empty.
    assert f"Seq Scan on {partition_name(now)}" not in plan
