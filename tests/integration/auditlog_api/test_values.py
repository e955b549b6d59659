"""Values that are too large for their events, fetched by their references."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.test import AsyncClient
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf, event_id_at

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
# Spaces and digits as no serializer of ours would write them.
CONTENT = '{"a":  1.500, "\u00fc": "\u2028' + "x" * 1_000 + '"}'
STORE_CHUNK = """
INSERT INTO auditlog_contentchunk (event_id, stored_at, sha256, bytes, chunk, chunks, topic, partition, "offset", data)
VALUES (%s, now(), %s, %s, %s, %s, 'audit.auditlog.blobs', 0, 0, %s)
"""
Keep = Callable[..., dict[str, Any]]


@pytest.fixture
def keep(consumer: psycopg.Connection[Any]) -> Keep:
    """Return a function that stores the chunks of a content, but for those left out, and returns its reference."""

    def store_chunks(text: str = CONTENT, *, count: int = 3, without: frozenset[int] = frozenset()) -> dict[str, Any]:
        content = text.encode()
        sha256, size = hashlib.sha256(content).hexdigest(), -(-len(content) // count)
        for number in sorted(set(range(count)) - without):
            part = content[number * size : (number + 1) * size]
            values = [event_id_at(NEWEST), sha256, len(content), number, count, part]
            consumer.execute(STORE_CHUNK.encode(), values)
        return {"$ref": sha256, "bytes": len(content)}

    return store_chunks


def address(event_id: uuid.UUID | str, reference: dict[str, Any]) -> str:
    return f"{EVENTS}{event_id}/values/{reference['$ref']}/"


def test_a_value_comes_byte_by_byte_as_it_was(client: APIClient, store: Store, keep: Keep) -> None:
    reference = keep()
    event_id = store(after=Jsonb({"bio": reference}), changes=Jsonb({"bio": [None, reference]}))
    answer = client.get(address(event_id, reference))
    assert answer.status_code == 200
    assert answer.getvalue() == CONTENT.encode()
    assert {name: answer[name] for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control")} == {
        "Content-Type": "application/json",
        "Content-Length": str(len(CONTENT.encode())),
        "ETag": f'"{reference["$ref"]}"',
        "Cache-Control": "no-store",
    }
    assert client.get(f"{EVENTS}{event_id}/").json()["after"] == {"bio": reference}


async def test_a_value_comes_under_asgi_as_well(key: str, store: Store, keep: Keep) -> None:
    reference = keep()
    event_id = store(before=Jsonb({"bio": reference}))
    answer: Any = await AsyncClient().get(address(event_id, reference), headers={"authorization": f"Api-Key {key}"})
    assert b"".join([part async for part in answer]) == CONTENT.encode()


@pytest.mark.parametrize(
    "place",
    [
        lambda reference: {"before": Jsonb({"a": 1, "bio": reference})},
        lambda reference: {"data": Jsonb(reference)},
        lambda reference: {"m2m": Jsonb({"field": "x", "through": {"3": {"remark": reference}}})},
    ],
)
def test_a_reference_may_stand_wherever_the_format_says(
    place: Callable[[Any], dict[str, Any]], client: APIClient, store: Store, keep: Keep
) -> None:
    reference = keep()
    assert client.get(address(store(**place(reference)), reference)).getvalue() == CONTENT.encode()


def test_a_content_is_reached_through_its_events_only(client: APIClient, store: Store, keep: Keep) -> None:
    reference, other = keep(), keep("[2]", count=1)
    # What an application wrote itself is no reference, whatever it looks like.
    event_id = store(after=Jsonb({"bio": other, "note": {"$json": reference}, "deep": [reference]}))
    answers = [client.get(address(event, reference)) for event in (event_id, event_id_at(NEWEST), "none")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 3
    assert client.get(address(event_id, other)).getvalue() == b"[2]"


def test_a_content_that_is_on_its_way_is_asked_for_again(client: APIClient, store: Store, keep: Keep) -> None:
    reference = keep(without=frozenset({1}))
    event_id = store(after=Jsonb({"bio": reference}))
    answer = client.get(address(event_id, reference))
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "content_pending", "5")
    assert answer["Content-Type"] == "application/problem+json"
    keep(count=2)
    assert client.get(address(event_id, reference)).getvalue() == CONTENT.encode()


def test_of_chunks_that_came_twice_the_last_ones_count(
    client: APIClient, store: Store, keep: Keep, consumer: psycopg.Connection[Any]
) -> None:
    content = CONTENT.encode()
    earlier = event_id_at(NEWEST.replace(year=NEWEST.year - 1))
    reference = {"$ref": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    consumer.execute(STORE_CHUNK.encode(), [earlier, reference["$ref"], len(content), 1, 3, b"false"])
    keep()
    event_id = store(after=Jsonb({"bio": reference}))
    assert client.get(address(event_id, reference)).getvalue() == content


def test_who_has_the_value_is_told_so(client: APIClient, store: Store, keep: Keep) -> None:
    reference = keep()
    event_id = store(after=Jsonb({"bio": reference}))
    etag = client.get(address(event_id, reference))["ETag"]
    answer = client.get(address(event_id, reference), headers={"if-none-match": etag})
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", etag)
    # Nobody changes a value, so nobody makes a condition of it.
    assert client.get(address(event_id, reference), headers={"if-match": '"x"'}).status_code == 200


def test_a_value_is_for_auditors(store: Store, keep: Keep, user_of: UserOf) -> None:
    reference, outsider, anonymous = keep(), APIClient(), APIClient()
    outsider.force_authenticate(user_of("outsider", auditor=False))
    where = address(store(after=Jsonb({"bio": reference})), reference)
    assert [caller.get(where).status_code for caller in (outsider, anonymous)] == [403, 401]


def test_an_unknown_parameter_is_refused(client: APIClient, store: Store, keep: Keep) -> None:
    reference = keep()
    answer = client.get(address(store(after=Jsonb({"bio": reference})), reference), {"download": "1"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")


def test_a_large_content_is_not_in_memory_as_a_whole(
    client: APIClient, store: Store, keep: Keep, django_assert_num_queries: Any
) -> None:
    reference = keep(json.dumps("x" * 200_000), count=10)
    answer = client.get(address(store(after=Jsonb({"bio": reference})), reference))
    with django_assert_num_queries(1, using="audit"):
        first = next(iter(answer))
    assert len(first) == 20_001
