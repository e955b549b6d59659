"""What questions about objects, actors and units of work cost: statements, indexes, and rows that travel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.integration.auditlog_api.conftest import NEWEST

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

API = "/api/audit/v1/"
VERSIONS = 1_000
FIELDS = 8
# At most: those of the migrations, and of two months before.
PARTITIONS = 8
# Two months of other objects, 20,000 events.
OTHERS = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, object_pk, action, category, topic, partition, "offset", sequence, actor_id,
     request_id, transaction_id)
SELECT (left(auditlog_uuid_floor(at)::text, 13) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, at,
    'doctors.' || (ARRAY['doctor', 'patient', 'appointment'])[1 + n %% 3], (1000 + n %% 500)::text, 'update', 'write',
    'audit', 0, n, '00000001:' || lpad((1000000 - n)::text, 20, '0'), (n %% 50)::text, 'r-' || n, n::text
FROM (SELECT n, %s - make_interval(mins => n * 4) AS at FROM generate_series(0, 20000) n) events
"""
# An object that is created, and then changed in one field an hour; every tenth time somebody looks at it as well.
LIFE = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, object_pk, action, category, topic, partition, "offset", sequence,
     before, after, changes, changed_fields)
SELECT (left(auditlog_uuid_floor(at)::text, 13) || '-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, at,
    'doctors.doctor', '17', CASE n WHEN 0 THEN 'create' ELSE 'update' END, 'write', 'audit', 0, n,
    '00000001:' || lpad((2000000 + n)::text, 20, '0'), CASE WHEN n > 0 THEN image END, image,
    CASE n WHEN 0 THEN (SELECT jsonb_object_agg(key, jsonb_build_array(NULL, value)) FROM jsonb_each(image))
    ELSE jsonb_build_object('f' || n %% %s, jsonb_build_array('x', 'x')) END,
    CASE n WHEN 0 THEN ARRAY(SELECT jsonb_object_keys(image)) ELSE ARRAY['f' || n %% %s] END
FROM (SELECT n, %s - make_interval(hours => %s - n) AS at FROM generate_series(0, %s) n) versions,
    (SELECT jsonb_object_agg('f' || f, 'x') AS image FROM generate_series(0, %s) f) row
"""


@pytest.fixture
def filled(consumer: psycopg.Connection[Any], owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """An object of a thousand versions among others, of which the planner knows."""
    for days in range(0, 90, 28):
        consumer.execute("SELECT auditlog_ensure_partition(%s)", [NEWEST - timedelta(days=days)])
    consumer.execute(OTHERS, [NEWEST])
    consumer.execute(LIFE, [FIELDS, FIELDS, NEWEST, VERSIONS, VERSIONS, FIELDS - 1])
    owner_connection.execute("VACUUM ANALYZE auditlog_auditlog")
    yield
    owner_connection.execute("TRUNCATE auditlog_auditlog")
    owner_connection.execute("ANALYZE auditlog_auditlog")


class Cost:
    """What a statement did: rows that it answered with, indexes that it read, tables that it read from end to end."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.rows = plan["Actual Rows"]
        self.indexes: set[str] = set()
        self.sequential: set[str] = set()
        # Rows of the audit log that were looked at.
        self.seen = 0
        self._visit(plan)

    def _visit(self, node: dict[str, Any]) -> None:
        relation = node.get("Relation Name", "")
        if relation.startswith("auditlog_auditlog"):
            self.seen += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            if node["Node Type"] == "Seq Scan" and node["Actual Rows"] > 1:
                self.sequential.add(relation)
        if "Index Name" in node:
            self.indexes.add(node["Index Name"])
        for child in node.get("Plans", []):
            self._visit(child)


def costs(client: APIClient, path: str, **query: str) -> list[Cost]:
    """Return what the statements on the audit log did for an answer."""
    with CaptureQueriesContext(connections["audit"]) as captured:
        answer = client.get(f"{API}{path}", query)
    assert answer.status_code == 200, answer.content
    statements = [one["sql"] for one in captured if 'FROM "auditlog_auditlog"' in one["sql"]]
    return [explained(statement) for statement in statements]


def explained(statement: str) -> Cost:
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.replace('%', '%%')}", [])
        found = cursor.fetchone()[0]
    return Cost((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


@pytest.mark.parametrize(("question", "statements"), [("as-of", 3), ("blame", 2)])
def test_a_state_of_a_thousand_versions_takes_a_row_for_each_field(
    client: APIClient, filled: None, question: str, statements: int
) -> None:
    found = costs(client, f"objects/doctors.doctor/17/{question}/")
    assert len(found) == statements
    image, *_links, setters = found
    assert image.rows == 1
    # Of each field the last event that set it, and the one that created the object.
    assert setters.rows == FIELDS + 1
    assert sum(cost.rows for cost in found) <= FIELDS + 3
    for cost in found:
        assert cost.sequential == set()
        assert all("model_object_pk_sequence" in name for name in cost.indexes), cost.indexes
        # And once more the last event, which bounds the links: the first that each partition has.
        assert cost.seen <= VERSIONS + 1 + PARTITIONS


def test_an_instant_long_ago_reads_no_event_that_came_later(client: APIClient, filled: None) -> None:
    at = NEWEST - timedelta(hours=VERSIONS - 9, minutes=30)
    image, links, setters = costs(client, "objects/doctors.doctor/17/as-of/", at=at.isoformat())
    assert setters.rows == FIELDS + 1
    assert setters.seen == 9
    # To find the instant, its month is read from its end.
    assert image.seen <= VERSIONS
    assert links.seen == setters.seen + image.seen


def test_a_diff_reads_the_objects_index(client: APIClient, filled: None) -> None:
    hours = 72
    since = (NEWEST - timedelta(hours=hours)).isoformat()
    found = costs(client, "objects/doctors.doctor/17/diff/", **{"from": since})
    assert len(found) == 5
    assert sum(cost.rows for cost in found) <= 2 * (FIELDS + 3)
    for cost in found:
        assert (cost.sequential, cost.seen <= VERSIONS + 1 + hours + PARTITIONS) == (set(), True)


@pytest.mark.parametrize(
    ("path", "index", "most"),
    [
        ("objects/doctors.doctor/17/viewers/", "model_object_pk", VERSIONS + 1),
        ("requests/r-100/", "request_id", 1),
        ("transactions/100/", "transaction_id", 1),
    ],
)
def test_a_question_reads_the_index_of_what_it_is_about(
    client: APIClient, filled: None, path: str, index: str, most: int
) -> None:
    for cost in costs(client, path):
        assert cost.sequential == set()
        assert all(index in name for name in cost.indexes), cost.indexes
        assert cost.seen <= most


def test_a_day_of_an_actor_reads_that_day(client: APIClient, filled: None) -> None:
    day = f"{NEWEST - timedelta(days=5):%Y-%m-%d}"
    *names, listed, summed = costs(client, "actors/7/activity/", date=day)
    assert all(cost.sequential == set() for cost in names)
    for cost in (listed, summed):
        assert cost.sequential == set()
        # That of the actor's acts, and that of what has the actor's name as its key.
        assert {index for index in cost.indexes if "actor_id" not in index and "model_object_pk" not in index} == set()
        assert cost.seen <= 24 * 15 / 50 + 2
