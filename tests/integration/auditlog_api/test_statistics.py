"""Statistics: what is counted, from what, for whom, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from pytest_django import Settings
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.models import RollupBacklog
from auditlog.partitions import month_of
from auditlog.queries import counts, statistics
from auditlog.queries.buckets import Width, buckets
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import Changed, Field, Is, Not
from auditlog.queries.statistics import Dimension, Source
from auditlog.roles import Role
from tests.conftest import ConnectAs
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
EVERYTHING = Rights(principal="user:1", scopes=frozenset({Scope.READ, Scope.READ_SENSITIVE}))


def asked(client: APIClient, path: str, status: int = 200, **query: Any) -> dict[str, Any]:
    """Return the answer of a statistic."""
    response = client.get(f"/api/audit/v1/stats/{path}/", query)
    assert response.status_code == status, response.content
    body: dict[str, Any] = response.json()
    return body


def around_noon(first: int, last: int) -> dict[str, Any]:
    """Return a window by its distance from noon."""
    return {"from": (NOON + timedelta(minutes=first)).isoformat(), "to": (NOON + timedelta(minutes=last)).isoformat()}


ACROSS = around_noon(-150, 120)


@pytest.fixture
def events(store: Store) -> None:
    """Six events around a noon."""
    for minutes, values in (
        (-150, {"action": "create", "actor_id": "7", "actor_repr": "ada"}),
        (-149, {"action": "update", "actor_id": "7", "actor_repr": "ada"}),
        (-61, {"action": "update", "actor_id": "8", "actor_repr": "bob", "changed_fields": ["email", "fee"]}),
        (0, {"action": "update", "actor_id": "7", "actor_repr": "Ada Byron", "changed_fields": ["email"]}),
        (59, {"action": "access", "category": "read", "actor_id": None, "subjects": ["doctors.patient:1"]}),
        (119, {"action": "delete", "model": "doctors.patient", "actor_id": "8", "actor_repr": "bob"}),
    ):
        store(occurred_at=NOON + timedelta(minutes=minutes), **values)


def test_a_histogram_fills_the_hours_without_events_and_counts_parts_of_hours_exactly(
    client: APIClient, events: None
) -> None:
    body = asked(client, "histogram", bucket="hour", **ACROSS)
    assert [bucket["count"] for bucket in body["buckets"]] == [2, 1, 0, 2, 1]
    assert body["buckets"][0] == {
        "from": (NOON - timedelta(hours=3)).isoformat(),
        "to": (NOON - timedelta(hours=2)).isoformat(),
        "count": 2,
    }
    assert (body["bucket"], body["tz"], body["source"]) == ("hour", "UTC", "rollup")
    assert body["count"] == {"value": 6, "kind": "exact", "counted_from": None}
    assert body["window"]["applied"] == "requested"
    later = {**ACROSS, "from": (NOON - timedelta(minutes=149)).isoformat()}
    assert asked(client, "histogram", bucket="hour", **later)["count"]["value"] == 5


@pytest.mark.parametrize(
    ("first", "last"),
    # Minutes from noon: full hours, and parts of hours that are added or taken off, at either end, within one hour.
    [(-150, 120), (-180, 180), (-149, 59), (-130, 100), (-155, 110), (-62, -1), (-59, 119), (2, 59), (0, 1)],
)
def test_rollups_and_events_give_the_same_answer(
    client: APIClient, events: None, connect_as: ConnectAs, first: int, last: int
) -> None:
    window = around_noon(first, last)
    queries: list[dict[str, Any]] = [
        {},
        {"actor": "7"},
        {"not.actor": "7"},
        {"action": "update,delete"},
        {"action": "u*", "category": "write"},
        {"model": "doctors.*", "not.model": "doctors.patient"},
    ]

    def answers() -> list[Any]:
        return [
            [
                asked(client, "histogram", bucket="hour", **query, **window)["buckets"],
                asked(client, "facets", fields="actor,action,category,model", **query, **window)["facets"],
                asked(client, "top", by="actor", **query, **window)["results"],
            ]
            for query in queries
        ]

    from_rollups = answers()
    # A window of one minute is no hour.
    source = "rows" if last - first == 1 else "rollup"
    assert asked(client, "top", by="actor", **window)["source"] == source
    connect_as(Role.OWNER).execute("INSERT INTO auditlog_rollupbacklog (month) VALUES (%s)", [month_of(NOON)])
    assert asked(client, "top", by="actor", **window)["source"] == "rows"
    assert answers() == from_rollups
    connect_as(Role.OWNER).execute("UPDATE auditlog_rollupbacklog SET month = '2001-01-01T00:00:00Z'")
    assert asked(client, "top", by="actor", **window)["source"] == source
    assert RollupBacklog.objects.count() == 1


def test_of_a_part_of_an_hour_the_smaller_side_is_read(client: APIClient, events: None, connect_as: ConnectAs) -> None:
    def count(first: int, last: int) -> int:
        value: int = asked(client, "top", by="actor", **around_noon(first, last))["count"]["value"]
        return value

    assert (count(0, 70), count(0, 119), count(-149, 0), count(-100, 0)) == (2, 2, 2, 1)
    # What comes from the rollups is ten times as much now.
    connect_as(Role.OWNER).execute("UPDATE auditlog_rollup SET events = events * 10")
    assert (count(0, 70), count(0, 119), count(-149, 0), count(-100, 0)) == (20, 29, 11, 10)


def test_the_present_hour_is_not_read_event_by_event(client: APIClient, store: Store, connect_as: ConnectAs) -> None:
    now = datetime.now(UTC)
    store(occurred_at=now - timedelta(seconds=1))
    connect_as(Role.OWNER).execute("UPDATE auditlog_rollup SET events = events * 10")
    assert asked(client, "top", by="model")["count"]["value"] == 10
    # Somebody's clock is ahead: what is later than now may be in the hour, and is not in the window.
    store(occurred_at=now + timedelta(seconds=90))
    assert asked(client, "top", by="model")["count"]["value"] == 10


def test_the_most_frequent_values_are_named_and_the_others_are_counted(client: APIClient, events: None) -> None:
    body = asked(client, "top", by="actor", limit="1", **ACROSS)
    assert body["results"] == [{"value": "7", "name": "Ada Byron", "count": 3}]
    assert (body["values"], body["others"], body["count"]["value"]) == (3, 3, 6)
    results = asked(client, "top", by="actor", **ACROSS)["results"]
    assert [(one["value"], one["name"], one["count"]) for one in results] == [
        ("7", "Ada Byron", 3), ("8", "bob", 2), (None, None, 1)
    ]  # fmt: skip


def test_facets_count_each_value_of_an_event(client: APIClient, events: None) -> None:
    body = asked(client, "facets", fields="changed_field,subject,object,ip", **ACROSS)
    found = {name: [(one["value"], one["count"]) for one in facet["results"]] for name, facet in body["facets"].items()}
    assert found == {
        "changed_field": [("email", 2), ("fee", 1)],
        "subject": [("doctors.patient:1", 1)],
        "object": [("doctors.doctor:17", 5), ("doctors.patient:17", 1)],
        "ip": [(None, 6)],
    }
    assert (body["source"], body["count"]["value"]) == ("rows", 6)


def test_days_are_those_of_the_time_zone_that_is_asked_for(client: APIClient, events: None) -> None:
    window: dict[str, Any] = {
        "from": (NOON - timedelta(days=1)).isoformat(),
        "to": (NOON + timedelta(days=1)).isoformat(),
    }
    utc = asked(client, "histogram", bucket="day", **window)
    assert [one["count"] for one in utc["buckets"]] == [0, 6, 0]
    # Midnight in Kiritimati is 10:00 in UTC.
    far = asked(client, "histogram", bucket="day", tz="Pacific/Kiritimati", **window)
    assert [one["count"] for one in far["buckets"]] == [2, 4, 0]
    assert far["buckets"][1]["from"].endswith("T00:00:00+14:00")
    assert (utc["source"], far["source"]) == ("rollup", "rollup")
    # Half an hour of an hour of UTC belongs to the day before.
    odd = asked(client, "histogram", bucket="day", tz="Asia/Kolkata", **window)
    assert (odd["source"], odd["count"]["value"]) == ("rows", 6)


@pytest.mark.parametrize(
    ("path", "query", "pointer", "code"),
    [
        ("histogram", {"bucket": "second"}, "/bucket", "invalid_bucket"),
        ("histogram", {"bucket": "hour", "from": "2020-01-01T00:00:00Z"}, "/bucket", "too_many_buckets"),
        ("histogram", {"tz": "Mars/Olympus"}, "/tz", "invalid_tz"),
        ("histogram", {"tz": "../../etc/passwd"}, "/tz", "invalid_tz"),
        ("histogram", {"tz": "/etc/localtime"}, "/tz", "invalid_tz"),
        ("histogram", {"tz": "America"}, "/tz", "invalid_tz"),
        ("histogram", {"limit": "3"}, "/limit", "unknown_filter"),
        ("top", {}, "/by", "required"),
        ("top", {"by": "password"}, "/by", "invalid_dimension"),
        ("top", {"by": "actor", "limit": "0"}, "/limit", "invalid_limit"),
        ("top", {"by": "actor", "limit": "101"}, "/limit", "invalid_limit"),
        ("top", {"by": "actor", "limit": "²"}, "/limit", "invalid_limit"),
        ("facets", {}, "/fields", "required"),
        ("facets", {"fields": "actor,changes"}, "/fields", "unknown_field"),
        ("facets", {"fields": "actor,action,model,object,ip,label,reason"}, "/fields", "too_many"),
        ("facets", {"fields": "actor", "cursor": "x"}, "/cursor", "unknown_filter"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    client: APIClient, path: str, query: dict[str, str], pointer: str, code: str
) -> None:
    body = asked(client, path, 400, **query)
    assert (body["code"], [(one["pointer"], one["code"]) for one in body["errors"]]) == (
        "invalid_filter", [(pointer, code)]
    )  # fmt: skip


def test_only_the_newest_events_are_counted_where_there_are_very_many(
    client: APIClient, events: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MOST_ROWS", 4)
    body = asked(client, "top", by="object", **ACROSS)
    oldest = (NOON - timedelta(minutes=61)).isoformat().replace("+00:00", "Z")
    assert body["count"] == {"value": 4, "kind": "capped", "counted_from": oldest}
    assert sum(one["count"] for one in body["results"]) == 4
    # Counts of hours have no such end.
    assert asked(client, "top", by="actor", **ACROSS)["count"]["kind"] == "exact"


def test_a_question_that_takes_too_long_is_refused(
    client: APIClient, events: None, settings: Settings, connect_as: ConnectAs
) -> None:
    limit, settings.AUDITLOG_QUERY_TIMEOUT_SECONDS = settings.AUDITLOG_QUERY_TIMEOUT_SECONDS, 0.3
    with connect_as(Role.OWNER).transaction() as held:
        held.connection.execute("LOCK TABLE auditlog_auditlog IN ACCESS EXCLUSIVE MODE")
        body = asked(client, "histogram", 400, **ACROSS)
    assert body["code"] == "too_expensive"
    settings.AUDITLOG_QUERY_TIMEOUT_SECONDS = limit
    assert asked(client, "histogram", **ACROSS)["count"]["value"] == 6
    with connections["audit"].cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_who_sees_own_events_only_gets_counts_of_these(user_of: UserOf, store: Store) -> None:
    user = user_of("reader", auditor=False)
    rights = Rights(principal="user:1", scopes=frozenset({Scope.READ_OWN}), actor_id=str(user.pk))
    store(occurred_at=NOON, actor_id=str(user.pk))
    store(occurred_at=NOON, actor_id="other", model="doctors.patient")
    query = Query(since=NOON - timedelta(hours=5), until=NOON + timedelta(hours=5))
    found = statistics.facets(query, rights, [Dimension.ACTOR, Dimension.MODEL], limit=10)
    assert found.total.source is Source.ROWS
    assert found.facets[Dimension.ACTOR].found == ((str(user.pk), 1),)
    assert found.facets[Dimension.MODEL].found == (("doctors.doctor", 1),)
    spans = buckets(NOON - timedelta(hours=1), NOON + timedelta(hours=1), width=Width.AUTO, zone=UTC)
    assert statistics.histogram(query, rights, spans).total.events == 1
    assert statistics.actor_names(query, rights, ["other"]) == {}


def test_hidden_values_decide_no_count(store: Store) -> None:
    hiding = Rights(principal="user:1", scopes=frozenset({Scope.READ}))
    store(occurred_at=NOON, changed_fields=["email"], classes='{"sensitive": ["email"]}')
    window = (NOON - timedelta(hours=5), NOON + timedelta(hours=5))
    for value in ("b@example.org", "c@example.org"):
        query = Query(Changed("email", new=(value,)), *window)
        assert statistics.facets(query, hiding, [Dimension.ACTION], limit=10).total.events == 0
        negated = Query(Not(query.filter), *window)
        assert statistics.facets(negated, hiding, [Dimension.ACTION], limit=10).total.events == 1
    query = Query(Changed("email", new=("b@example.org",)), *window)
    assert statistics.facets(query, EVERYTHING, [Dimension.ACTION], limit=10).total.events == 1


def test_counts_of_lists_say_how_they_were_found(
    client: APIClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        store(number)
    monkeypatch.setattr(counts, "CAP", 3)
    own = Rights(principal="user:1", scopes=frozenset({Scope.READ_OWN}), actor_id="9")
    query = Query(Is(Field.MODEL, ("doctors.doctor",)))
    assert counts.count(query, EVERYTHING, kind=CountKind.EXACT) == counts.Count(5, CountKind.EXACT)
    assert counts.count(query, EVERYTHING, kind=CountKind.CAPPED) == counts.Count(4, CountKind.CAPPED)
    assert counts.count(query, EVERYTHING, kind=CountKind.ESTIMATE).kind is CountKind.ESTIMATE
    # What the database knows of all rows is not for those who may see some of them, or some of their values.
    assert counts.count(query, own, kind=CountKind.ESTIMATE) == counts.Count(0, CountKind.CAPPED)
    insensitive = Rights(principal="user:1", scopes=frozenset({Scope.READ}))
    assert counts.count(query, insensitive, kind=CountKind.ESTIMATE) == counts.Count(4, CountKind.CAPPED)
    listed = client.get("/api/audit/v1/events/", {"count": "exact"}).json()
    assert listed["count"] == {"value": 5, "kind": "exact"}


def test_a_caller_without_the_right_gets_no_statistics(user_of: UserOf) -> None:
    program = APIClient()
    assert program.get("/api/audit/v1/stats/histogram/").status_code == 401
    key = api_keys.issue(user=user_of("nobody", auditor=False), name="test")
    program.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    for path in ("histogram", "top", "facets"):
        assert program.get(f"/api/audit/v1/stats/{path}/").status_code == 403
