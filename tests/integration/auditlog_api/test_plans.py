"""What the reads cost: statements, indexes, partitions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from auditlog.partitions import partition_name
from tests.integration.auditlog_api.conftest import NEWEST, Store

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
DAYS = 200
EVENTS_A_DAY = 100
# An event every 14 minutes; the id's time is the event's.
FILL = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, object_pk, action, category, topic, partition, "offset", sequence,
     actor_id, request_id)
SELECT (left(auditlog_uuid_floor(at)::text, 13) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, at,
    'doctors.' || (ARRAY['doctor', 'patient', 'appointment'])[1 + n %% 3], (n %% 500)::text, 'update', 'write',
    'audit', 0, n, '00000001:' || lpad((1000000 - n)::text, 20, '0'), (n %% 50)::text, 'r-' || n
FROM (SELECT n, %s - make_interval(mins => n * 14) AS at FROM generate_series(0, %s) n) events
"""


@pytest.fixture
def filled(consumer: psycopg.Connection[Any], owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Half a year of events, of which the planner knows."""
    for days in range(0, DAYS + 31, 28):
        consumer.execute("SELECT auditlog_ensure_partition(%s)", [NEWEST - timedelta(days=days)])
    consumer.execute(FILL, [NEWEST, DAYS * EVENTS_A_DAY])
    owner_connection.execute("VACUUM ANALYZE auditlog_auditlog")
    yield
    owner_connection.execute("TRUNCATE auditlog_auditlog")
    owner_connection.execute("ANALYZE auditlog_auditlog")


def test_a_page_costs_the_same_statements_whatever_its_size(client: APIClient, store: Store) -> None:
    event_id = store()
    paths = (EVENTS, f"{EVENTS}{event_id}/", "/api/audit/v1/objects/doctors.doctor/17/timeline/")
    few = [_counts(client, path) for path in paths]
    for number in range(50):
        store(number)
    # Of the application's database: the key with its user, the two kinds of permissions, the grants, the event of the
    # read.
    # Of the audit log's: the page, and at its first page the position that a walk pins; around them, a transaction that
    # limits their time.
    assert few == [_counts(client, path) for path in paths] == [(5, 5), (5, 4), (5, 5)]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "occurred_at"),
        ({"model": "doctors.patient"}, "model_occurred_at"),
        ({"actor": "7"}, "actor_id_occurred_at"),
        ({"request_id": "r-100"}, "request_id"),
        ({"model": "doctors.doctor", "object_pk": "33"}, "model_object_pk"),
        # So few that sorting them costs less.
        ({"from": NEWEST - timedelta(days=120), "to": NEWEST - timedelta(days=115)}, "pkey"),
    ],
)
def test_a_list_reads_an_index_of_the_partitions_in_its_window(
    client: APIClient, filled: None, query: dict[str, Any], index: str
) -> None:
    given = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()}
    plan = _plan(client, EVENTS, given)

    start = query.get("from", datetime.now(UTC) - timedelta(days=30)) - timedelta(days=1)
    end = query.get("to", datetime.now(UTC)) + timedelta(days=1)
    assert plan.partitions == _partitions(start, end)
    assert plan.sequential == set()
    assert all(index in name for name in plan.indexes), plan.indexes


def test_a_deep_page_leaves_out_the_partitions_that_it_has_passed(client: APIClient, filled: None) -> None:
    window = {"from": (NEWEST - timedelta(days=DAYS)).isoformat(), "page_size": "1"}
    middle = NEWEST - timedelta(days=100)
    # The newest event before `middle`, reached from a page that ends there.
    url = client.get(EVENTS, window | {"to": middle.isoformat()}).json()["next"]

    older = _plan(client, url, {})
    # The page is full before the oldest part of the window is looked at.
    assert older.partitions == _partitions(middle - timedelta(days=32), middle + timedelta(days=1))
    newer = _plan(client, client.get(url).json()["previous"], {})
    assert newer.partitions == _partitions(middle - timedelta(days=2), middle + timedelta(days=1))
    assert older.sequential == newer.sequential == set()


def test_a_timeline_reads_the_objects_index_of_every_partition(client: APIClient, filled: None) -> None:
    plan = _plan(client, "/api/audit/v1/objects/doctors.doctor/33/timeline/", {})

    assert plan.sequential == set()
    assert plan.partitions >= _partitions(NEWEST - timedelta(days=DAYS), NEWEST)
    assert all("model_object_pk_sequence" in name for name in plan.indexes), plan.indexes


def test_a_single_event_reads_the_primary_key_of_one_partition(client: APIClient, filled: None) -> None:
    event_id = client.get(EVENTS, {"page_size": 1}).json()["results"][0]["event_id"]
    plan = _plan(client, f"{EVENTS}{event_id}/", {})

    assert plan.sequential == set()
    assert plan.partitions == {partition_name(NEWEST)}
    assert all(name.endswith("_pkey") for name in plan.indexes)


class _Plan:
    """The partitions and indexes of the audit log that a statement reads; what the position looks up is left out."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.partitions: set[str] = set()
        self.sequential: set[str] = set()
        self.indexes: set[str] = set()
        self._visit(root)

    def _visit(self, node: dict[str, Any]) -> None:
        if node.get("Parent Relationship") == "SubPlan":
            return
        if name := node.get("Relation Name"):
            self.partitions.add(name)
        if name := node.get("Index Name"):
            self.indexes.add(name)
        if node["Node Type"] == "Seq Scan" and node["Plan Rows"] > 1:
            self.sequential.add(node["Relation Name"])
        for child in node.get("Plans", []):
            self._visit(child)


def _plan(client: APIClient, path: str, query: dict[str, Any]) -> _Plan:
    _default, audit = _statements(client, path, query)
    (statement,) = (sql for sql in audit if 'FROM "auditlog_auditlog"' in sql)
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.replace('%', '%%')}", [])
        found = cursor.fetchone()[0]
    return _Plan((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


def _statements(client: APIClient, path: str, query: dict[str, Any] | None = None) -> tuple[list[str], list[str]]:
    with (
        CaptureQueriesContext(connections["default"]) as default,
        CaptureQueriesContext(connections["audit"]) as audit,
    ):
        answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    return [statement["sql"] for statement in default], [statement["sql"] for statement in audit]


def _counts(client: APIClient, path: str) -> tuple[int, int]:
    default, audit = _statements(client, path)
    return len(default), len(audit)


def _partitions(start: datetime, end: datetime) -> set[str]:
    """Return the names of the partitions of the months from `start` to `end`."""
    days = (end - start).days + 1
    return {partition_name(start + timedelta(days=day)) for day in range(days)} | {partition_name(end)}
