"""The feed shows each stored event once, in the order in which it was stored, whoever stores what meanwhile."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from django.core import signing
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.access import grants
from auditlog.api import feed_cursors, sealing, waits
from auditlog.models import AccessGrant
from auditlog.partitions import partition_name
from auditlog.queries import feed
from consumers.records import Partition
from tests.conftest import Events, WaitUntil
from tests.integration.auditlog_api.conftest import UserOf
from tests.integration.auditlog_api.feeds import FEED, GROUP, TOPIC, Reader, Writer, close

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
SYSTEM = Partition("audit.auditlog.system.events", 0)
READ_OF_FEED: dict[str, Any] = {"action": "audit_log_read", "category": "read", "data": {"operation": "audit-feed"}}


@pytest.fixture
def writer(new_partitions_go: None, settings: Any) -> Iterator[Writer]:
    """Who stores events."""
    settings.KAFKA_CONSUMER_GROUP = GROUP
    yield Writer()
    close()


def test_the_feed_begins_now_or_at_the_beginning(client: APIClient, writer: Writer) -> None:
    before = writer.store(0, 3)
    reader = Reader(client)
    assert reader.read() == []
    after = writer.store(0, 2)
    assert reader.read() == after
    assert reader.read() == []
    assert Reader(client, after="beginning").read() == before + after
    assert reader.seen[0]["topic"] == TOPIC
    assert [(one["partition"], one["offset"]) for one in reader.seen] == [(0, 3), (0, 4)]


def test_the_next_answer_is_where_next_leads_to(client: APIClient, writer: Writer) -> None:
    stored = writer.store(0, 3, reason="a+b & c")
    first = client.get(FEED, {"after": "beginning", "limit": "2", "reason": "a+b & c"}).json()
    second = client.get(first["next"]).json()
    assert [one["event_id"] for one in first["results"] + second["results"]] == stored
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert client.get(second["next"]).json()["results"] == []


def test_a_reader_meets_each_event_once_while_everybody_stores(client: APIClient, writer: Writer) -> None:
    """Consumers and repairs commit in any order; nobody waits for the reader."""
    reader, done = Reader(client, after="beginning", limit=7), threading.Event()

    def consume(partition: int) -> list[str]:
        mine = Writer()
        return _in_thread(lambda: [one for _ in range(30) for one in mine.store(partition, 2)])

    def repair() -> list[str]:
        return _in_thread(lambda: [writer.late(number) for number in range(20)])

    with ThreadPoolExecutor(4) as pool:
        futures = [*(pool.submit(consume, partition) for partition in range(3)), pool.submit(repair)]
        while not done.is_set():
            if all(future.done() for future in futures):
                done.set()
            reader.read_all()
    stored = [one for future in futures for one in future.result()]
    seen = [one["event_id"] for one in reader.seen]
    assert len(seen) == len(set(seen)) == len(stored) == 200
    assert set(seen) == set(stored)
    late = set(futures[-1].result())
    offsets = defaultdict(list)
    for one in reader.seen:
        if one["event_id"] not in late:
            offsets[one["partition"]].append(one["offset"])
    assert dict(offsets) == {partition: list(range(60)) for partition in range(3)}


def _in_thread(work: Any) -> list[str]:
    try:
        return list(work())
    finally:
        close()


def test_a_busy_partition_and_a_long_repair_keep_nobody_waiting(client: APIClient, writer: Writer) -> None:
    writer.store(0, 50)
    late = [writer.late(number) for number in range(30)]
    (quiet,) = writer.store(1)
    reader = Reader(client, after="beginning", limit=10)
    first, second = reader.read(), reader.read()
    assert first[:5] + second[:5] == late[:10]
    assert quiet in first + second
    assert len(set(reader.read_all() + first + second)) == 81


def test_a_filter_that_chooses_little_is_answered_in_portions(
    client: APIClient, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SCANNED_OFFSETS", 40)
    writer.store(0, 90)
    (rare,) = writer.store(0, action="delete")
    late = writer.late(5)
    reader = Reader(client, after="beginning", action="delete")
    assert reader.read() == []
    assert reader.answer["has_more"]
    assert (reader.read(), reader.read()) == ([], [rare])
    assert late not in reader.read_all()
    writer.store(0, 2)
    (again,) = writer.store(1, action="delete")
    assert reader.read_all() == [again]


def test_a_waiting_reader_is_answered_when_something_is_stored(
    client: APIClient, writer: Writer, monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    monkeypatch.setattr(waits, "LOOK_SECONDS", 0.05)
    reader = Reader(client, action="delete")
    reader.read()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_in_thread, partial(reader.read, wait=30))
        wait_until(lambda: waits._waiting == 1)
        # Not what it waits for.
        writer.store(0)
        (stored,) = writer.store(0, action="delete")
        assert waiting.result(timeout=20) == [stored]
    assert waits._waiting == 0


def test_nobody_waits_where_too_many_do_or_the_process_ends(
    client: APIClient, writer: Writer, settings: Any, monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    settings.AUDITLOG_FEED_WAITS = 1
    monkeypatch.setattr(waits, "LOOK_SECONDS", 0.05)
    ending = threading.Event()
    monkeypatch.setattr(waits, "_is_ending", ending.is_set)
    first, second = Reader(client), Reader(client)
    first.read()
    refused = sample("auditlog_api_feed_waits_refused_total")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_in_thread, partial(first.read, wait=30))
        wait_until(lambda: waits._waiting == 1)
        assert sample("auditlog_api_feed_waiting") == 1
        assert second.read(wait=30) == []
        assert not waiting.done()
        assert sample("auditlog_api_feed_waits_refused_total") == refused + 1
        ending.set()
        assert waiting.result(timeout=20) == []
    assert sample("auditlog_api_feed_waiting") == 0
    assert second.read(wait=30) == []


def sample(metric: str) -> float:
    """Return what this process shows of a metric."""
    return REGISTRY.get_sample_value(metric) or 0.0


def test_a_wait_ends_without_an_event(client: APIClient, writer: Writer) -> None:
    reader = Reader(client)
    assert reader.read(wait=1) == []
    (stored,) = writer.store(0)
    assert reader.read() == [stored]


def test_reads_of_feeds_alone_wake_nobody(
    client: APIClient, writer: Writer, monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    monkeypatch.setattr(waits, "LOOK_SECONDS", 0.05)
    reader = Reader(client)
    reader.read()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_in_thread, partial(reader.read, wait=30))
        wait_until(lambda: waits._waiting == 1)
        own = writer.store(SYSTEM, 2, **READ_OF_FEED)
        (stored,) = writer.store(0)
        assert sorted(waiting.result(timeout=20)) == sorted([*own, stored])
    writer.store(SYSTEM, **READ_OF_FEED)
    assert (reader.read(wait=1), reader.read()) == ([], [])


@pytest.mark.parametrize(
    "after",
    ["x", signing.dumps(["x"], salt=feed_cursors.SALT), sealing.seal(["x"], salt=feed_cursors.SALT)],
    ids=["no seal", "signed, as it once was", "sealed with another content"],
)
def test_a_cursor_that_was_not_made_here_is_refused(client: APIClient, writer: Writer, after: str) -> None:
    answer = client.get(FEED, {"after": after})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


def test_a_cursor_is_good_for_its_caller_and_filters_and_not_for_ever(
    client: APIClient, writer: Writer, user_of: UserOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.store(0, 3)
    after = client.get(FEED, {"after": "beginning", "limit": "1", "action": "update"}).json()["after"]
    other = APIClient()
    other.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user_of('other'), name='other')}")
    asked: list[tuple[APIClient, dict[str, str]]] = [
        (other, {"action": "update"}),
        (client, {"action": "create"}),
        (client, {}),
    ]
    for caller, query in asked:
        answer = caller.get(FEED, {**query, "after": after})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")
    free: dict[str, Any] = {"action": "update", "after": after, "limit": 5, "wait": 1, "fields": "event_id"}
    assert len(client.get(FEED, free).json()["results"]) == 2
    monkeypatch.setattr(feed_cursors, "LIFETIME_SECONDS", -1)
    assert client.get(FEED, free).json()["code"] == "invalid_cursor"


@pytest.mark.parametrize(
    "restored",
    [
        "UPDATE auditlog_consumeroffset SET next_offset = 2",
        "TRUNCATE auditlog_consumeroffset",
        "TRUNCATE auditlog_lateevent",
        # After the restored state, others have been late.
        "UPDATE auditlog_lateevent SET event_id = gen_random_uuid()",
    ],
)
def test_a_position_ahead_of_what_is_stored_is_an_error(
    client: APIClient, writer: Writer, owner_connection: psycopg.Connection[Any], restored: str
) -> None:
    writer.store(0, 3)
    writer.late()
    reader = Reader(client, after="beginning")
    assert len(reader.read()) == 4
    assert reader.read() == []
    owner_connection.execute(restored.encode())
    answer = client.get(FEED, reader.query)
    assert (answer.status_code, answer.json()["code"]) == (409, "position_ahead")
    assert client.get(FEED, {"after": "beginning"}).status_code == 200


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"wait": 31}, "/wait"),
        ({"wait": -1}, "/wait"),
        ({"limit": 0}, "/limit"),
        ({"limit": 1001}, "/limit"),
        ({"from": "2026-01-01T00:00:00Z"}, "/from"),
        ({"cursor": "x"}, "/cursor"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(client: APIClient, query: dict[str, Any], pointer: str) -> None:
    answer = client.get(FEED, query)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_a_caller_sees_what_the_rights_allow(writer: Writer, user_of: UserOf) -> None:
    user = user_of()
    narrow, nobody = APIClient(), APIClient()
    narrow.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user, name='test')}")
    other = user_of("other", auditor=False)
    nobody.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=other, name='test')}")
    grants.give(AccessGrant(user=user, model_names=["doctors.patient"], reason="test"))
    writer.store(0, 3)
    (seen,) = writer.store(Partition("audit.doctors.patient", 0), model="doctors.patient")
    writer.late(1)
    late = writer.repair(writer.record(Partition("audit.doctors.patient", 0), 0, model="doctors.patient"))
    reader = Reader(narrow, after="beginning")
    assert reader.read() == [*late, seen]
    assert reader.answer["policy_filters"] == ["models"]
    assert nobody.get(FEED, {"after": "beginning"}).status_code == 403


def test_each_call_is_an_event_whatever_the_caller_does_with_the_cursors(
    client: APIClient, writer: Writer, events: Events
) -> None:
    """Reads of feeds are what is held back: they must not be a way to look without being seen."""

    def told() -> list[tuple[int, bool]]:
        found = [one["audit"]["data"] for one in events() if one["audit"]["action"] == "audit_log_read"]
        return [(one["rows"], one["asked"]["is_first_page"]) for one in found]

    after = client.get(FEED).json()["after"]
    assert told() == [(0, True)]
    writer.store(SYSTEM, **READ_OF_FEED)
    for _ in range(3):
        assert client.get(FEED, {"after": after}).json()["results"] == []
        assert client.get(FEED, {"after": "beginning", "limit": "5"}).status_code == 200
        assert client.get(FEED).status_code == 200
    assert told() == [(0, False), (0, True), (0, True)] * 3
    writer.store(0)
    for _ in range(3):
        assert len(client.get(FEED, {"after": after}).json()["results"]) == 2
    assert told() == [(2, False)] * 3


def test_a_call_that_cannot_be_recorded_is_refused_whatever_it_would_show(
    client: APIClient, writer: Writer, request: pytest.FixtureRequest
) -> None:
    writer.store(SYSTEM, **READ_OF_FEED)
    request.getfixturevalue("unrecordable")
    for after in ({"after": "beginning"}, {}):
        answer = client.get(FEED, after)
        assert (answer.status_code, "after" in answer.json()) == (503, False)


def test_a_reader_who_meets_its_own_reads_comes_to_an_end(
    client: APIClient, writer: Writer, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, own = Reader(client), list[str]()

    def turn() -> list[str]:
        """Read, and store the event of it."""
        found = reader.read()
        reads = [one["audit"]["data"] for one in events() if one["audit"]["action"] == "audit_log_read"]
        for data in reads:
            own.extend(writer.store(SYSTEM, **{**READ_OF_FEED, "data": data}))
        return found

    assert [turn() for _ in range(5)] == [[]] * 5
    assert len(own) == 5
    (stored,) = writer.store(0)
    before = list(own)
    assert sorted(turn()) == sorted([*before, stored])
    assert [turn() for _ in range(3)] == [[]] * 3
    # Nothing else comes, and they are not kept for ever.
    monkeypatch.setattr("auditlog.api.views.feed.HELD_FOR", timedelta(0))
    left = own[5:]
    assert reader.read() == left


def test_an_answer_takes_three_statements_of_the_audit_log_and_the_index_of_positions(
    client: APIClient, writer: Writer, owner_connection: psycopg.Connection[Any]
) -> None:
    writer.store(0, 500)
    writer.store(1, 500)
    owner_connection.execute("ANALYZE auditlog_auditlog")
    reader = Reader(client, after="beginning", limit=20)
    reader.read()
    with CaptureQueriesContext(connections["audit"]) as captured:
        assert len(reader.read()) == 20
    statements = [
        query["sql"] for query in captured.captured_queries if "FROM auditlog" in query["sql"].replace('"', "")
    ]
    # Where everything stands; whether there are late events; the events.
    assert (len(statements), len(captured)) == (3, 6)
    with connections["audit"].cursor() as cursor:
        cursor.execute(f"EXPLAIN {statements[-1].replace('%', '%%')}", [])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "_topic_partition_offset_idx" in plan
    # Partitions of other months are empty.
    assert f"Seq Scan on {partition_name(timezone.now())}" not in plan
