"""Cursors: a walk meets every event once, and a cursor is good for what it was made for."""

from __future__ import annotations

import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import signing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from auditlog.api import cursors
from auditlog.queries import events
from auditlog.queries.events import EventFilter, Order, Position
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"


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


def test_a_walk_keeps_its_default_window(client: APIClient, store: Store) -> None:
    store(0), store(1)
    first = client.get(f"{EVENTS}?page_size=1").json()

    assert client.get(first["next"]).json()["window"] == first["window"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=25),
    size=st.integers(1, 7),
    order=st.sampled_from(Order),
)
def test_pages_in_both_directions_are_exact_whatever_is_equal(
    store: Store, places: list[tuple[int, int]], size: int, order: Order
) -> None:
    model = f"test.m{uuid.uuid4().hex}"
    stored = {
        store(model=model, occurred_at=NEWEST - timedelta(microseconds=time), sequence=f"00000001:{sequence:020}"): (
            NEWEST - timedelta(microseconds=time) if order == Order.TIME else f"00000001:{sequence:020}"
        )
        for time, sequence in places
    }
    expected = sorted(stored, key=lambda event_id: (stored[event_id], event_id), reverse=True)

    forward, page = [], events.page(wanted=EventFilter(model=model), order=order, size=size)
    forward += page.events
    while page.has_older:
        position = Position(getattr(page.events[-1], order), page.events[-1].event_id)
        page = events.page(wanted=EventFilter(model=model), order=order, size=size, position=position)
        assert page.has_newer
        assert page.events
        forward += page.events
    assert [event.event_id for event in forward] == expected

    backward = page.events
    while page.has_newer and page.events:
        position = Position(getattr(page.events[0], order), page.events[0].event_id, newer=True)
        page = events.page(wanted=EventFilter(model=model), order=order, size=size, position=position)
        assert page.has_older
        backward = page.events + backward
    assert [event.event_id for event in backward] == expected


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
def test_a_signed_cursor_of_another_shape_is_refused(client: APIClient, content: object) -> None:
    forged = signing.dumps(content, salt=cursors.SALT)
    elsewhere = signing.dumps(content, salt="elsewhere")

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
