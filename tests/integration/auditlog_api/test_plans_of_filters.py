"""What each filter reads: no partition outside its window, and few rows that it does not answer with."""

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

from auditlog.partitions import partition_name
from tests.integration.auditlog_api.conftest import NEWEST

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
DAYS = 100
ROWS = 15_000
WINDOW = {"from": (NEWEST - timedelta(days=90)).isoformat(), "to": (NEWEST - timedelta(days=2)).isoformat()}
PAGE_SIZE = 20
# Each is few of many: 1 of 3,000 subjects, 1 of 500 has another action, 1 of 1,000 is of security.
FILL = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, object_pk, object_repr, action, category, topic, partition, "offset", sequence,
     actor_id, actor_repr, request_id, session, trace_id, transaction_id, remote_addr, on_behalf_of_id, reason,
     subjects, changed_fields, changes)
SELECT (left(auditlog_uuid_floor(at)::text, 13) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, at,
    'doctors.' || (ARRAY['doctor', 'patient', 'appointment'])[1 + n %% 3], (n %% 500)::text, 'Name ' || n %% 1000,
    CASE n %% 500 WHEN 7 THEN 'delete' ELSE 'update' END, CASE n %% 1000 WHEN 8 THEN 'security' ELSE 'write' END,
    'audit', 0, n, '00000001:' || lpad((1000000 - n)::text, 20, '0'), (n %% 50)::text, 'user.' || n %% 50,
    'r-' || n / 4, 's-' || n / 10, md5((n / 4)::text), (n / 2)::text, ('10.0.' || n %% 200 || '.' || n %% 250)::inet,
    CASE n %% 300 WHEN 9 THEN '5' END, CASE n %% 10 WHEN 0 THEN 'ticket T' || n END,
    ARRAY['doctors.patient:' || n %% 3000], CASE n %% 700 WHEN 3 THEN '{email,phone}' ELSE '{email}' END::text[], '{}'
FROM (SELECT n, %s - n * %s AS at FROM generate_series(0, %s) n) events
"""


# No other object has this key, and no other model is as rare: each alone says little of how many events it has.
ONE_OBJECT = """
UPDATE auditlog_auditlog SET model = 'doctors.department', object_pk = 'D1' WHERE "offset" % 50 = 4
"""
TIMELINE = "/api/audit/v1/objects/doctors.department/D1/timeline/"
# How many events a filter finds, at most a page of them.
FILTERS: list[tuple[dict[str, str], int]] = [
    ({"subject": "doctors.patient:2017"}, 4),
    ({"subject": "doctors.patient:0815"}, 0),
    ({"changed_field": "phone"}, 19),
    ({"changed_field": "no_such_field"}, 0),
    ({"ip": "10.0.17.17"}, 13),
    ({"ip": "203.0.113.9"}, 0),
    ({"request_id": "r-1000"}, 4),
    ({"request_id": "none"}, 0),
    ({"session": "s-900"}, 10),
    ({"trace_id": "0" * 32}, 0),
    ({"transaction_id": "4000"}, 2),
    ({"on_behalf_of": "5", "session": "s-930"}, 1),
    ({"action": "archive"}, 0),
    ({"category": "security"}, 13),
    ({"category": "admin"}, 0),
    ({"model": "doctors.department"}, 0),
    ({"model": "doctors.doctor", "object_pk": "499"}, 9),
    ({"q": "T7000"}, 1),
    ({"q": "ticket unheard"}, 0),
    # Frequent: the page is full long before the window ends.
    ({"q": "doctor"}, 20),
    ({"q": "user"}, 20),
    ({"not.action": "update", "category": "security"}, 0),
    ({"actor": "17", "action": "delete"}, 0),
]


@pytest.fixture
def filled(consumer: psycopg.Connection[Any], owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """A hundred days of events, of which the planner knows."""
    for days in range(0, DAYS + 31, 28):
        consumer.execute("SELECT auditlog_ensure_partition(%s)", [NEWEST - timedelta(days=days)])
    consumer.execute(FILL, [NEWEST, timedelta(days=DAYS) / ROWS, ROWS])
    owner_connection.execute("VACUUM ANALYZE auditlog_auditlog")
    yield
    owner_connection.execute("TRUNCATE auditlog_auditlog")
    owner_connection.execute("ANALYZE auditlog_auditlog")


def test_a_filter_reads_little_more_than_it_answers_with(client: APIClient, filled: None) -> None:
    read = [(query, _read(client, WINDOW | query | {"page_size": PAGE_SIZE})) for query, _found in FILTERS]

    assert [(query, found) for query, (found, _partitions_read, _rows) in read] == FILTERS
    for query, (_found, partitions, rows) in read:
        assert partitions <= _partitions(), query
        # Of 13,200 in the window.
        assert rows <= 300, (query, rows)


def test_a_page_that_the_newest_month_fills_reads_no_older_one(client: APIClient, filled: None) -> None:
    found, partitions, rows = _read(client, WINDOW | {"not.action": "delete", "page_size": PAGE_SIZE})

    assert found == PAGE_SIZE
    # Ids may be a day off the events' times.
    assert partitions <= {partition_name(NEWEST - timedelta(days=day)) for day in range(32)}
    assert rows <= PAGE_SIZE + 3


def test_a_page_that_reaches_beyond_a_stretch_is_the_same_as_without(
    client: APIClient, filled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = WINDOW | {"changed_field": "phone", "page_size": 7}
    ascending = query | {"sort": "occurred_at"}
    found = [_walk(client, each) for each in (query, ascending)]
    monkeypatch.setattr("auditlog.queries.stretches.REACHES", ())

    assert [_walk(client, each) for each in (query, ascending)] == found
    assert found[0] == found[1][::-1]
    assert len(found[0]) == 19


def _walk(client: APIClient, query: dict[str, Any]) -> list[str]:
    answer = client.get(EVENTS, query).json()
    found = [event["event_id"] for event in answer["results"]]
    while answer["next"]:
        answer = client.get(answer["next"]).json()
        found += [event["event_id"] for event in answer["results"]]
    return found


def test_a_page_of_an_object_with_many_events_reads_no_more_than_the_page(
    client: APIClient, filled: None, owner_connection: psycopg.Connection[Any]
) -> None:
    owner_connection.execute(ONE_OBJECT)
    owner_connection.execute("VACUUM ANALYZE auditlog_auditlog")
    found, _partitions_read, rows = _read(client, {"page_size": PAGE_SIZE}, path=TIMELINE)

    assert found == PAGE_SIZE
    # Of 300, and those that it might have been next, one of each partition.
    assert rows <= 60


def _read(client: APIClient, query: dict[str, Any], *, path: str = EVENTS) -> tuple[int, set[str], int]:
    """Return how many events are found, the partitions that were read, and how many rows were read in them."""
    with CaptureQueriesContext(connections["audit"]) as captured:
        answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    statements = [each["sql"] for each in captured if 'FROM "auditlog_auditlog"' in each["sql"]]
    scans = [scan for statement in statements for scan in _scans(_plan(statement))]
    return len(answer.json()["results"]), {node["Relation Name"] for node in scans}, round(sum(map(_rows_of, scans)))


def _plan(statement: str) -> dict[str, Any]:
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.replace('%', '%%')}", [])
        found = cursor.fetchone()[0]
    return dict((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])


def _scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node.get("Relation Name", "").startswith("auditlog_auditlog_p"):
        yield node
    for child in node.get("Plans", []):
        yield from _scans(child)


def _rows_of(node: dict[str, Any]) -> float:
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return float(node["Actual Loops"] * (node["Actual Rows"] + sum(node.get(name, 0) for name in removed)))


def _partitions() -> set[str]:
    """Return the names of the partitions that hold the window's events; their ids may be a day off."""
    return {partition_name(NEWEST - timedelta(days=day)) for day in range(1, 92)}
