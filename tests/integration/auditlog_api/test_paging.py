"""Cursors: a walk meets every event once, and a cursor is good for what it was made for."""

from __future__ import annotations

import ipaddress
import random
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.api import cursors, sealing
from auditlog.models import AuditLog
from auditlog.queries import events
from auditlog.queries.compiler import Query
from auditlog.queries.events import Position
from auditlog.queries.filters import Field, Is
from auditlog.queries.sorting import COLUMNS, Sort
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
OFFSET = b"""
INSERT INTO auditlog_consumeroffset ("group", topic, partition, next_offset, updated_at)
VALUES ('auditlog', %s, 0, %s, now())
ON CONFLICT ("group", topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""
# 150 topics of 6 partitions, stored up to some millions each.
MANY_OFFSETS = b"""
INSERT INTO auditlog_consumeroffset ("group", topic, partition, next_offset, updated_at)
SELECT 'auditlog', format('audit.app%s.model%s.events', topic % 9, topic), partition,
    1000 + hashint8(topic * 6 + partition)::bigint & 4194303, now()
FROM generate_series(0, 149) AS topic, generate_series(0, 5) AS partition
"""
ALL = Rights(principal="user:1", scopes=frozenset({Scope.READ}))
# Of columns that may be null.
VALUES: list[dict[str, object]] = [
    {"object_repr": None, "remote_addr": None, "actor_repr": None, "reason": None},
    {"object_repr": "a", "remote_addr": "9.0.0.1", "actor_repr": "b", "reason": "", "request_id": "r"},
    {"object_repr": "b", "remote_addr": "10.0.0.1", "actor_repr": "a", "transaction_id": "7"},
    {"object_repr": "b", "remote_addr": "192.0.2.1", "actor_repr": "c", "reason": "because"},
]


def pages(client: APIClient, url: str | None, towards: str) -> list[list[str]]:
    """Return the ids of all pages from `url` on."""
    walked = []
    while url:
        page = client.get(url).json()
        walked.append([event["event_id"] for event in page["results"]])
        url = page[towards]
    return walked


def test_a_walk_meets_every_event_once_while_others_are_stored(client: APIClient, store: Store) -> None:
    before = [str(store(number // 2)) for number in range(11)]
    seen: list[str] = []
    last, url = "", f"{EVENTS}?page_size=3"
    while url:
        page = client.get(url).json()
        seen += [event["event_id"] for event in page["results"]]
        store(-1)
        last, url = url, page["next"]

    assert sorted(seen) == sorted(before)
    back = pages(client, client.get(last).json()["previous"], "previous")
    # On the way back the events that were stored meanwhile are met as well.
    met = [event_id for page in reversed(back) for event_id in page]
    assert [event_id for event_id in met if event_id in before] == seen[:9]
    assert len(met) == len(set(met)) == 9 + 4


def test_the_pages_of_a_walk_are_what_was_stored_at_its_first(
    client: APIClient, store: Store, consumer: psycopg.Connection[Any]
) -> None:
    def arrive(minutes: int, offset: int) -> str:
        event_id = store(minutes, topic="audit.pinned", offset=offset)
        consumer.execute(OFFSET, ["audit.pinned", offset + 1])
        return str(event_id)

    before = [arrive(minutes, offset=10 - minutes) for minutes in (10, 8, 6, 4, 2)][::-1]
    first = client.get(EVENTS, {"page_size": 2}).json()
    # Newer ones, and one into the midst of what is still to come.
    arrive(0, offset=11), arrive(5, offset=12)

    rest = pages(client, first["next"], "next")
    assert [[event["event_id"] for event in first["results"]], *rest] == [before[:2], before[2:4], before[4:]]
    second = client.get(first["next"]).json()
    assert pages(client, second["previous"], "previous") == [before[:2]]
    assert len(client.get(EVENTS).json()["results"]) == 7


@pytest.mark.parametrize("column", ["reason", "object_repr"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_a_walk_by_long_texts_follows_links_that_the_service_takes(
    client: APIClient, store: Store, consumer: psycopg.Connection[Any], column: str, sign: str
) -> None:
    consumer.execute(MANY_OFFSETS)
    texts = [_long_text(seed) for seed in range(4)]
    stored = [
        (text, store(number, topic=f"audit.app{number}.model{number}.events", **{column: text}))
        for number, text in enumerate([*texts, *texts, "short"])
    ]
    ordered = [str(event_id) for _text, event_id in sorted(stored, reverse=sign == "-")]
    expected = [ordered[start : start + 2] for start in range(0, 9, 2)]

    url: str | None = f"{EVENTS}?sort={sign}{column}&page_size=2"
    assert pages(client, url, "next") == expected
    while url:
        last, url = url, client.get(url).json()["next"]
    assert pages(client, client.get(last).json()["previous"], "previous") == expected[-2::-1]


def test_a_long_key_costs_one_statement_and_a_short_one_none(client: APIClient, store: Store) -> None:
    for number in range(2):
        store(number, reason=_long_text(number), object_repr="x" * 64)

    def statements(sort: str) -> int:
        following = client.get(f"{EVENTS}?sort={sort}&page_size=1").json()["next"]
        with CaptureQueriesContext(connections["audit"]) as captured:
            assert client.get(following).status_code == 200
        return sum('FROM "auditlog_auditlog"' in statement["sql"] for statement in captured)

    assert (statements("reason"), statements("object_repr")) == (2, 1)


def test_a_long_key_goes_with_its_event(
    client: APIClient, store: Store, owner_connection: psycopg.Connection[Any]
) -> None:
    for number in range(2):
        store(number, reason=_long_text(number))
    page = client.get(f"{EVENTS}?sort=reason&page_size=1").json()
    owner_connection.execute("DELETE FROM auditlog_auditlog WHERE event_id = %s", [page["results"][0]["event_id"]])

    answer = client.get(page["next"])
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


def test_a_long_key_is_read_with_the_rights_of_the_caller(store: Store) -> None:
    event_id, sort = store(reason=_long_text(0)), Sort("reason")

    assert events.key(event_id, ALL, sort=sort) == _long_text(0)
    assert events.key(event_id, replace(ALL, models=frozenset({"doctors.patient"})), sort=sort) is None


def _long_text(seed: int) -> str:
    """Return 1,000 letters that take three bytes each and do not compress."""
    letters = random.Random(seed)
    return "".join(chr(letters.randrange(0x4E00, 0x9FFF)) for _ in range(1_000))


def test_a_walk_keeps_its_default_window(client: APIClient, store: Store) -> None:
    store(0), store(1)
    first = client.get(f"{EVENTS}?page_size=1").json()

    assert client.get(first["next"]).json()["window"] == first["window"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=25),
    size=st.integers(1, 7),
    sort=st.builds(Sort, st.sampled_from(sorted(COLUMNS)), st.booleans()),
)
def test_pages_in_both_directions_are_exact_whatever_is_equal(
    store: Store, places: list[tuple[int, int]], size: int, sort: Sort
) -> None:
    model = f"test.m{uuid.uuid4().hex}"
    for time, number in places:
        store(
            model=model,
            occurred_at=NEWEST - timedelta(microseconds=time),
            sequence=f"00000001:{number:020}",
            **VALUES[number],
        )
    query = Query(Is(Field.MODEL, (model,)))
    stored = AuditLog.objects.filter(model=model)
    expected = sorted(
        (event.event_id for event in stored),
        key=lambda event_id: (_key(sort, stored.get(event_id=event_id)), event_id),
        reverse=sort.descending,
    )

    forward, page = [], events.page(query, ALL, sort=sort, size=size)
    forward += page.events
    while page.has_next:
        position = Position(sort.key(page.events[-1]), page.events[-1].event_id)
        page = events.page(query, ALL, sort=sort, size=size, position=position)
        assert page.has_previous
        assert page.events
        forward += page.events
    assert [event.event_id for event in forward] == expected

    backward = page.events
    while page.has_previous and page.events:
        position = Position(sort.key(page.events[0]), page.events[0].event_id, backwards=True)
        page = events.page(query, ALL, sort=sort, size=size, position=position)
        assert page.has_next
        backward = page.events + backward
    assert [event.event_id for event in backward] == expected


def _key(sort: Sort, event: AuditLog) -> object:
    key = sort.key(event)
    return ipaddress.ip_address(str(key)) if sort.name == "remote_addr" else key


def test_a_cursor_is_good_only_untouched_for_its_caller_and_filters(
    client: APIClient, store: Store, user_of: UserOf
) -> None:
    store(0), store(1)
    url = client.get(f"{EVENTS}?page_size=1").json()["next"]
    timeline = f"/api/audit/v1/objects/doctors.doctor/17/timeline/?{urlsplit(url).query}"
    stranger = APIClient()
    stranger.force_login(user_of("other"))

    assert client.get(url).status_code == 200
    assert client.get(url.replace("page_size=1", "page_size=9")).status_code == 200
    refused = [
        client.get(url + "x"),
        client.get(f"{url}&model=doctors.doctor"),
        client.get(f"{EVENTS}?cursor=a:b:c"),
        client.get(f"{EVENTS}?cursor=%F0%9F%90%98"),
        client.get(timeline),
        stranger.get(url),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(400, "invalid_cursor")] * 6
    assert all(answer.json()["errors"] == [] for answer in refused)


@pytest.mark.parametrize(
    "content",
    [None, 5, "text", [], [1, 2], {"a": 1}, [1, 2, 3, 4, 5, 6], ["x", None, "y", False, None, None]],
)
def test_a_sealed_cursor_of_another_shape_is_refused(client: APIClient, content: object) -> None:
    forged = sealing.seal(content, salt=cursors.SALT)
    elsewhere = sealing.seal(content, salt="elsewhere")

    for cursor in (forged, elsewhere):
        answer = client.get(EVENTS, {"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


def test_links_lead_to_the_same_host_with_the_same_filters(client: APIClient, store: Store) -> None:
    store(0, object_pk='["acme",42]'), store(1, object_pk='["acme",42]')
    query = {"object_pk": '["acme",42]', "action": ["update", "create"], "page_size": "1"}

    link = urlsplit(client.get(EVENTS, query, headers={"host": "audit.example"}).json()["next"])

    assert (link.scheme, link.netloc, link.path) == ("http", "audit.example", EVENTS)
    asked = parse_qs(link.query)
    assert len(asked.pop("cursor")) == 1
    assert asked == {"object_pk": ['["acme",42]'], "action": ["update", "create"], "page_size": ["1"]}
