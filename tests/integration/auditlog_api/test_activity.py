"""What one actor did on a day, and what one request or transaction did."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.integration.auditlog_api.conftest import Store

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

API = "/api/audit/v1/"
ACTIVITY = f"{API}actors/7/activity/"
ADA = {"id": "7", "repr": "ada", "type": "user", "on_behalf_of": None}
# Last week, so that its partition is there.
DAY = (timezone.now() - timedelta(days=7)).replace(hour=0, minute=0, second=0, microsecond=0)
DATE = f"{DAY:%Y-%m-%d}"


SYSTEM = {"model": "auditlog.system", "changes": None, "session": None}
NOBODY = {"actor": None, "actor_id": None, "actor_repr": None}
STORED_UP_TO = """
INSERT INTO auditlog_consumeroffset ("group", topic, partition, next_offset, updated_at)
VALUES ('auditlog', 'audit.auditlog.system.events', 0, %s, now())
ON CONFLICT ("group", topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
"""


def get(client: APIClient, path: str, **query: Any) -> Any:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def did(store: Store, hour: float, **values: Any) -> uuid.UUID:
    """Store what ada did at an hour of the day."""
    actor = {"actor": Jsonb(ADA), "actor_id": "7", "actor_repr": "ada"}
    at = DAY + timedelta(hours=hour)
    return store(0, **{"occurred_at": at, "session": "s1", "sequence": f"1:{at.timestamp():020}", **actor, **values})


def listed(answer: Any) -> list[str]:
    return [event["event_id"] for event in answer["results"]]


def test_a_day_shows_what_somebody_did_by_session_with_what_was_refused(client: APIClient, store: Store) -> None:
    first = did(store, 8, remote_addr="192.0.2.7")
    second = did(store, 9, action="access", category="read", remote_addr="192.0.2.8")
    system = {**SYSTEM, "topic": "audit.auditlog.system.events"}
    exported = did(store, 10, action="audit_log_exported", category="read", object_pk="ada", **system)
    failed = did(store, 7, action="login_failed", category="security", object_pk="ada", **system, **NOBODY)
    did(store, 11, action="login_failed", category="security", object_pk="bob", **system, **NOBODY)
    did(store, 12, actor_id="8")
    did(store, 25)

    answer = get(client, ACTIVITY, date=DATE)
    assert listed(answer) == [str(event) for event in (exported, second, first, failed)]
    assert answer["window"]["from"] == f"{DATE}T00:00:00Z"
    summary = answer["summary"]
    assert summary["total"]["actions"] == {"audit_log_exported": 1, "access": 1, "update": 1, "login_failed": 1}
    assert (summary["total"]["count"], summary["is_cut"]) == (4, False)
    (day,) = summary["days"]
    assert (day["date"], day["count"], day["categories"]) == (DATE, 4, {"write": 1, "read": 2, "security": 1})
    sessions = {session["session"]: session for session in day["sessions"]}
    assert (sessions["s1"]["count"], sessions["s1"]["addresses"]) == (2, ["192.0.2.7", "192.0.2.8"])
    assert (sessions["s1"]["first_at"], sessions["s1"]["last_at"]) == (f"{DATE}T08:00:00Z", f"{DATE}T09:00:00Z")
    assert sessions[None]["actions"] == {"audit_log_exported": 1, "login_failed": 1}


def test_a_day_begins_where_the_reader_says(client: APIClient, store: Store) -> None:
    evening = did(store, 23)
    # It is the next day in Auckland already.
    next_day = f"{DAY + timedelta(days=1):%Y-%m-%d}"
    answer = get(client, ACTIVITY, date=next_day, timezone="Pacific/Auckland")
    assert (listed(answer), answer["timezone"]) == ([str(evening)], "Pacific/Auckland")
    assert [day["date"] for day in answer["summary"]["days"]] == [next_day]
    assert listed(get(client, ACTIVITY, date=next_day)) == []


def test_a_window_of_several_days_is_added_up_by_day(client: APIClient, store: Store) -> None:
    did(store, 8)
    did(store, 30)
    did(store, 31)
    window = {"from": DAY.isoformat(), "to": (DAY + timedelta(days=2)).isoformat()}
    answer = get(client, ACTIVITY, **window)
    assert [day["count"] for day in answer["summary"]["days"]] == [2, 1]
    assert answer["window"]["applied"] == "requested"


def test_a_day_goes_on_in_pages_that_are_added_up_once(client: APIClient, store: Store) -> None:
    events = [str(did(store, hour)) for hour in (8, 9, 10)]
    first = get(client, ACTIVITY, date=DATE, page_size=2)
    second = get(client, first["next"])
    assert (listed(first) + listed(second), first["summary"]["total"]["count"]) == (events[::-1], 3)
    assert (second["summary"], second["next"]) == (None, None)


def test_a_walk_goes_on_under_the_name_that_it_began_with(
    client: APIClient, store: Store, consumer: psycopg.Connection[Any]
) -> None:
    # What came after the first page is told by the offsets that were stored.
    consumer.execute(STORED_UP_TO, [99])
    at = {"topic": "audit.auditlog.system.events", "partition": 0}
    did(store, 8, offset=1, **at)
    tried = [
        did(store, 9 + number, object_pk="ada", offset=2 + number, **at, **SYSTEM, **NOBODY) for number in range(3)
    ]
    first = get(client, ACTIVITY, date=DATE, page_size=2)
    did(store, 30, offset=100, actor_repr="ada lovelace", **at)
    consumer.execute(STORED_UP_TO, [101])

    second = get(client, first["next"])
    assert (listed(first) + listed(second))[:3] == [str(event) for event in tried[::-1]]
    assert (len(listed(second)), second["next"], first["summary"]["total"]["count"]) == (2, None, 4)
    assert get(client, ACTIVITY, date=DATE)["summary"]["total"]["count"] == 1
    assert listed(get(client, second["previous"])) == listed(first)


def test_what_another_did_under_a_name_is_not_what_was_tried_under_it(client: APIClient, store: Store) -> None:
    own = did(store, 8)
    other = {"id": "8", "repr": "ada", "type": "user", "on_behalf_of": None}
    command = {"id": None, "repr": "audit_export --as ada", "type": "command", "on_behalf_of": None}
    anonymous = {"id": None, "repr": None, "type": "anonymous", "on_behalf_of": None}
    did(store, 9, object_pk="ada", actor=Jsonb(other), actor_id="8", **SYSTEM)
    did(store, 10, object_pk="user:7", actor=Jsonb(command), actor_id=None, **SYSTEM)
    tried = did(store, 11, object_pk="ada", actor=Jsonb(anonymous), actor_id=None, actor_repr=None, **SYSTEM)
    assert listed(get(client, ACTIVITY, date=DATE)) == [str(tried), str(own)]


def test_today_is_shown_where_no_day_is_asked_for(client: APIClient, store: Store) -> None:
    did(store, 8)
    now = store(0, occurred_at=datetime.now(UTC), actor=Jsonb(ADA), actor_id="7")
    answer = get(client, ACTIVITY)
    assert (listed(answer), answer["window"]["applied"]) == ([str(now)], "default-day")


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ({"date": "2026-11-31"}, "/date", "invalid_date"),
        ({"date": "today"}, "/date", "invalid_date"),
        ({"date": "0001-01-01"}, "/date", "invalid_date"),
        ({"date": DATE, "from": DAY.isoformat()}, "/date", "invalid_window"),
        ({"from": (DAY - timedelta(days=40)).isoformat()}, "/from", "invalid_window"),
        ({"from": "2999-01-01T00:00:00Z"}, "/from", "invalid_window"),
        ({"timezone": "Nowhere/Else"}, "/timezone", "invalid_timezone"),
        ({"timezone": "../../etc/passwd"}, "/timezone", "invalid_timezone"),
        ({"timezone": "Europe"}, "/timezone", "invalid_timezone"),
    ],
)
def test_a_day_that_cannot_be_is_pointed_at(client: APIClient, query: dict[str, str], pointer: str, code: str) -> None:
    answer = client.get(ACTIVITY, query)
    assert answer.status_code == 400
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, code)]


def test_a_day_adds_up_the_same_on_one_page_and_on_the_first_of_many(client: APIClient, store: Store) -> None:
    did(store, 8, session="s2", remote_addr="192.0.2.9")
    did(store, 9, session="s1", remote_addr="2001:db8::7", action="create")
    did(store, 10, session=None, action="access", category="read")
    did(store, 11, session="s1", remote_addr="192.0.2.7")
    # On the day after, where the reader is.
    did(store, 23, session="s2")
    query = {"from": DAY.isoformat(), "to": (DAY + timedelta(days=1)).isoformat(), "timezone": "Europe/Oslo"}
    whole, *parts = (get(client, ACTIVITY, page_size=size, **query) for size in (5, 1, 4))
    assert (len(whole["results"]), whole["next"], whole["summary"]["total"]["count"]) == (5, None, 5)
    days = whole["summary"]["days"]
    assert [[session["session"] for session in day["sessions"]] for day in days] == [["s2"], ["s1", None, "s2"]]
    assert [part["summary"] for part in parts] == [whole["summary"]] * 2


def test_a_request_shows_everything_that_it_did_in_order(client: APIClient, store: Store) -> None:
    unit = {"request_id": "r-1", "transaction_id": "774"}
    # By the clock the second came first.
    first = did(store, 9, sequence="1:1", object_repr="Dr Ada", **unit)
    second = did(store, 8, sequence="1:2", model="doctors.patient", object_pk="4", action="create", **unit)
    did(store, 10, request_id="r-2")
    answer = get(client, f"{API}requests/r-1/")
    assert (listed(answer), answer["request_id"]) == ([str(first), str(second)], "r-1")
    assert answer["window"]["applied"] == "all"
    summary = answer["summary"]
    assert (summary["count"], summary["actors"], summary["actions"]) == (2, [ADA], {"update": 1, "create": 1})
    assert [(one["model"], one["object_pk"], one["object_repr"], one["actions"]) for one in summary["objects"]] == [
        ("doctors.doctor", "17", "Dr Ada", {"update": 1}),
        ("doctors.patient", "4", "Dr Ada Byron", {"create": 1}),
    ]
    assert listed(get(client, f"{API}transactions/774/")) == listed(answer)
    assert listed(get(client, f"{API}requests/r-1/", model="doctors.patient")) == [str(second)]


def test_a_unit_of_work_goes_on_in_pages(client: APIClient, store: Store) -> None:
    events = [str(did(store, 8, sequence=f"1:{number}", request_id="r-1")) for number in range(3)]
    first = get(client, f"{API}requests/r-1/", page_size=2)
    second = get(client, first["next"])
    assert (listed(first) + listed(second), second["summary"]) == (events, None)


def test_a_unit_adds_up_the_same_on_one_page_and_on_the_first_of_many(
    client: APIClient, store: Store, consumer: psycopg.Connection[Any]
) -> None:
    clinic, billing = (shape_from(consumer, name) for name in ("clinic", "billing"))
    done: list[dict[str, Any]] = [
        {"object_repr": "Dr Ärzte", "shape": clinic},
        {"object_repr": "dr byron", "shape": clinic, "action": "create"},
        {"object_repr": "Dr Byron", "shape": clinic},
        {"object_repr": None, "object_pk": None, "action": "access", "actor": None, "actor_id": None},
        {"model": "billing.invoice", "shape": billing, "sequence": "00000002:1"},
    ]
    for number, values in enumerate(done):
        did(store, 8 + number, **{"request_id": "r-1", "sequence": f"00000001:{number}", **values})
    whole, *parts = (get(client, f"{API}requests/r-1/", page_size=size) for size in (5, 1, 4))
    assert (len(whole["results"]), whole["next"], whole["summary"]["count"]) == (5, None, 5)
    # Of several names the last one in the order of code points.
    assert [one["object_repr"] for one in whole["summary"]["objects"]] == ["dr byron", None, "Dr Ada Byron"]
    assert [part["summary"] for part in parts] == [whole["summary"]] * 2


def test_a_unit_that_did_nothing_is_not_found(client: APIClient, store: Store) -> None:
    did(store, 8, request_id="r-1")
    for path in ("requests/r-2/", "transactions/1/", "requests/%00/"):
        assert client.get(f"{API}{path}").status_code == 404


def test_one_number_of_two_servers_is_said_to_be_ambiguous(
    client: APIClient, store: Store, consumer: psycopg.Connection[Any]
) -> None:
    clinic, billing = (shape_from(consumer, name) for name in ("clinic", "billing"))
    one = did(store, 8, transaction_id="774", sequence="00000001:1", shape=clinic)
    assert summary_of(client)["is_ambiguous"] is False
    other = did(store, 9, transaction_id="774", sequence="00000001:2", shape=billing, model="billing.invoice")
    summary = summary_of(client)
    assert [(source["name"], source["database"]) for source in summary["sources"]] == [
        ("audit", "clinic"),
        ("audit", "billing"),
    ]
    assert (summary["is_ambiguous"], summary["count"]) == (True, 2)
    until = (DAY + timedelta(hours=8, minutes=1)).isoformat()
    assert listed(get(client, f"{API}transactions/774/", to=until)) == [str(one)]
    assert listed(get(client, f"{API}transactions/774/", model="billing.*")) == [str(other)]


def summary_of(client: APIClient) -> Any:
    return get(client, f"{API}transactions/774/")["summary"]


def shape_from(consumer: psycopg.Connection[Any], database: str) -> uuid.UUID:
    """Store the shape of events of a database: members that are the row's, and constants beside their names."""
    shape = uuid.uuid4()
    source = [["name", "audit"], ["db", database], "sequence"]
    text = json.dumps([["op", ["source", source], ["audit", ["event_id"]]], [], []])
    consumer.execute("INSERT INTO auditlog_eventshape (id, text) VALUES (%s, %s)", [shape, text])
    return shape
