"""Each index that the audit log has for a question answers it: nothing else is read."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db.models import QuerySet

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.access.wall import behind_wall
from auditlog.models import AuditLog
from auditlog.queries.compiler import Query, rows
from auditlog.queries.filters import Changed, Field, Filter, Is, StartsWith, Text, Within
from tests.integration.auditlog_api.conftest import NEWEST

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
AUDITOR = Rights("user:1", frozenset({Scope.READ, Scope.READ_SENSITIVE}))
# An event every two minutes of four weeks.
FILL = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, object_pk, action, category, topic, partition, "offset", sequence, transaction_id,
     session, trace_id, remote_addr, on_behalf_of_id, subjects, labels, changed_fields)
SELECT (left(auditlog_uuid_floor(at)::text, 13) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, at,
    'doctors.doctor', (n %% 500)::text, CASE WHEN n %% 1000 = 0 THEN 'exported' ELSE 'update' END,
    CASE WHEN n %% 1000 = 1 THEN 'admin' ELSE 'write' END, 'audit', 0, n, lpad(n::text, 20, '0'), (n / 2)::text,
    's-' || n %% 2000, 't-' || n / 3, ('10.' || n %% 200 || '.0.' || n %% 250)::inet, (n %% 2000)::text,
    ARRAY['doctors.patient:' || n %% 5000], ARRAY['department:' || n %% 2000], ARRAY['field_' || n %% 2000]
FROM (SELECT n, %s - make_interval(mins => n * 2) AS at FROM generate_series(0, 20000) n) events
"""
NETWORK = ipaddress.ip_network("10.7.0.0/16")

# By the index that is to be read; what follows a space only tells them apart.
ASKED: dict[str, Filter] = {
    "subjects_changed_fields_labels subject": Is(Field.SUBJECT, ("doctors.patient:7",)),
    "subjects_changed_fields_labels label": Is(Field.LABEL, ("department:7",)),
    "subjects_changed_fields_labels field": Changed("field_7"),
    "auditlog_words": Text(("exported",)),
    "transaction_id": Is(Field.TRANSACTION, ("77",)),
    "session_occurred_at": Is(Field.SESSION, ("s-7",)),
    "trace_id": Is(Field.TRACE, ("t-7",)),
    "remote_addr_occurred_at": Is(Field.IP, ("10.7.0.7",)),
    "remote_addr_occurred_at network": Within(NETWORK),
    "on_behalf_of_id_occurred_at": Is(Field.ON_BEHALF_OF, ("7",)),
    "action_occurred_at": Is(Field.ACTION, ("exported",)),
    "action_occurred_at beginning": StartsWith(Field.ACTION, "expor"),
    "category_occurred_at": Is(Field.CATEGORY, ("admin",)),
}


@pytest.fixture
def filled(consumer: psycopg.Connection[Any], owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A month of events, of which the planner knows."""
    for days in (0, 14, 28):
        consumer.execute("SELECT auditlog_ensure_partition(%s)", [NEWEST - timedelta(days=days)])
    consumer.execute(FILL, [NEWEST])
    owner_connection.execute("VACUUM ANALYZE auditlog_auditlog")
    yield
    owner_connection.execute("TRUNCATE auditlog_auditlog")
    owner_connection.execute("ANALYZE auditlog_auditlog")


def test_each_question_reads_its_index(filled: None) -> None:
    others = {name: _others(name, _used(wanted, AUDITOR)) for name, wanted in ASKED.items()}
    assert {name: found for name, found in others.items() if found} == {}


def test_behind_the_wall_arrays_and_words_are_read_by_time_and_all_else_by_its_index(filled: None) -> None:
    """Which questions of a restricted caller read their window, because their operators are not leakproof."""
    restricted = Rights("user:2", frozenset({Scope.READ}), models=frozenset({"doctors.doctor"}))
    with behind_wall(restricted):
        used = {name: _used(wanted, restricted) for name, wanted in ASKED.items()}
    assert {name for name, found in used.items() if _others(name, found)} == {
        "subjects_changed_fields_labels subject",
        "subjects_changed_fields_labels label",
        "subjects_changed_fields_labels field",
        "auditlog_words",
    }


def test_what_follows_on_a_partition_of_a_topic_reads_its_index_in_order(filled: None) -> None:
    following = AuditLog.objects.filter(topic="audit", partition=0, offset__gte=10_000).order_by("offset")
    indexes = _read_by(following)
    assert indexes
    assert all("topic_partition_offset" in name for name in indexes), indexes


def _used(wanted: Filter, rights: Rights) -> set[str]:
    """Return what a page of the month's events reads."""
    query = Query(wanted, NEWEST - timedelta(days=28), NEWEST + timedelta(hours=1))
    found = _read_by(rows(query, rights).order_by("-occurred_at", "-event_id"))
    assert found, wanted
    return found


def _others(name: str, used: set[str]) -> set[str]:
    """Return what was read beside the index that a question is to read."""
    return {index for index in used if name.partition(" ")[0] not in index}


def _read_by(found: QuerySet[AuditLog]) -> set[str]:
    """Return what a page of a query reads in partitions that have rows: indexes, or tables."""
    plan = found[:50].explain(format="json")
    read: set[str] = set()

    def visit(node: dict[str, Any]) -> None:
        if "Index Name" in node:
            read.add(node["Index Name"])
        elif node["Node Type"] == "Seq Scan" and node["Plan Rows"] > 1:
            read.add(node["Relation Name"])
        for child in node.get("Plans", []):
            visit(child)

    visit(json.loads(plan)[0]["Plan"])
    return read
