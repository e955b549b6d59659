"""The list, the single event and the timeline of an object."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.models import ApiKey
from tests.integration.auditlog_api.conftest import Store

EVENTS = "/api/audit/v1/events/"


def test_an_event_has_the_shape_of_the_contract(client: APIClient, store: Store) -> None:
    event_id = store()
    answer = client.get(EVENTS).json()
    assert set(answer) == {"results", "next", "previous", "window", "count"}
    assert answer["window"]["applied"] == "default-30-days"
    (event,) = answer["results"]
    assert event["event_id"] == str(event_id)
    assert event["changes"] == {"email": ["a@example.org", "b@example.org"]}
    assert set(event) == {
        "event_id",
        "occurred_at",
        "stored_at",
        "model",
        "object_pk",
        "object_repr",
        "action",
        "category",
        "changes",
        "m2m",
        "data",
        "actor",
        "request_id",
        "transaction_id",
        "remote_addr",
        "reason",
        "sequence",
    }
    single = client.get(f"{EVENTS}{event_id}/").json()
    assert set(single) - set(event) == {"before", "after", "context", "masked", "topic", "partition", "offset"}


def test_a_walk_meets_every_event_once_while_others_are_stored(client: APIClient, store: Store) -> None:
    before = [str(store(number // 2)) for number in range(11)]
    seen, url = [], f"{EVENTS}?page_size=3"
    last = url
    while url:
        page = client.get(url).json()
        seen += [event["event_id"] for event in page["results"]]
        store(-1)
        last, url = url, page["next"]
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)
    back, url = [], client.get(last).json()["previous"]
    while url:
        page = client.get(url).json()
        back = [event["event_id"] for event in page["results"]] + back
        url = page["previous"]
    assert set(before) - set(back) <= set(seen[-3:])


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0", "page_size=-1", "page_size=abc", "page_size=1001", "page_size=", "from=0000-01-01T00:00:00Z",
        "from=9999999", "to=2026-02-31T00:00:00Z", "from=2026-01-01T00:00:00",
        "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "model=a%00b", "model=Doctor", "colour=red",
        "actor=1&actor=2", "object_pk=" + "9" * 1025, "request_id=%00",
    ],
)  # fmt: skip
def test_a_bad_filter_is_named(client: APIClient, query: str) -> None:
    answer = client.get(f"{EVENTS}?{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["code"] == "invalid_filter"
    assert answer.json()["errors"][0]["pointer"] == "/" + re.split("[=&]", query)[0]


def test_a_cursor_is_good_only_untouched_for_its_caller_and_filters(
    client: APIClient, store: Store, user_of: Callable[..., Any]
) -> None:
    store(0), store(1)
    url = client.get(f"{EVENTS}?page_size=1").json()["next"]
    assert client.get(url).status_code == 200
    stranger = APIClient()
    stranger.force_login(user_of("other"))
    refused = [
        client.get(url + "x"),
        client.get(f"{url}&model=a.b"),
        client.get(f"{EVENTS}?cursor=a:b:c"),
        stranger.get(url),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(400, "invalid_cursor")] * 4


def test_a_page_costs_the_same_statements_whatever_its_size(client: APIClient, store: Store) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connections["audit"]) as captured:
            client.get(EVENTS)
        counts.append(sum("auditlog_auditlog" in query["sql"] for query in captured))
        for number in range(5):
            store(number)
    assert counts == [1, 1]


def test_a_timeline_is_in_commit_order_and_takes_any_key(client: APIClient, store: Store) -> None:
    for pk in ('["acme",42]', "a/b", "ü.x"):
        ids = [str(store(number, object_pk=pk)) for number in (3, 1, 2)]
        answer = client.get(f"/api/audit/v1/objects/doctors.doctor/{_quoted(pk)}/timeline/").json()
        assert [event["event_id"] for event in answer["results"]] == [ids[1], ids[2], ids[0]]
        assert answer["window"] == {"from": None, "to": None, "applied": "all"}
    assert client.get("/api/audit/v1/objects/no.such/1/timeline/").json()["code"] == "not_found"


def test_no_credentials_are_401_and_no_permission_is_403(user_of: Callable[..., Any]) -> None:
    anonymous = APIClient().get(EVENTS)
    assert (anonymous.status_code, anonymous["WWW-Authenticate"]) == (401, "Api-Key")
    nobody = APIClient()
    nobody.force_login(user_of("nobody", auditor=False))
    assert nobody.get(EVENTS).json()["code"] == "permission_denied"


@pytest.mark.parametrize("flaw", ["revoked", "expired", "inactive", "wrong", "garbage"])
def test_a_key_that_is_not_good_is_401(user_of: Callable[..., Any], flaw: str) -> None:
    user = user_of()
    key = api_keys.issue(user=user, name="test", expires_at=timezone.now() if flaw == "expired" else None)
    if flaw == "revoked":
        assert api_keys.revoke(prefix=key[:12], now=timezone.now())
    if flaw == "inactive":
        user.is_active = False
        user.save()
    header = {"wrong": f"Api-Key {key[:-4]}AAAA", "garbage": "\x01\xff"}.get(flaw, f"Api-Key {key}")
    answer = APIClient().get(EVENTS, HTTP_AUTHORIZATION=header)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert key.partition(".")[2] not in str(ApiKey.objects.values())


def test_the_service_answers_its_probes_and_documents_itself_without_other_hosts(transactional_db: None) -> None:
    caller = APIClient()
    assert [caller.get(path).status_code for path in ("/livez", "/readyz", "/metrics", "/api/schema/")] == [200] * 4
    page = caller.get("/api/docs/").content.decode()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert caller.get("/api/nothing/").json()["code"] == "not_found"


def _quoted(pk: str) -> str:
    from urllib.parse import quote

    return quote(pk, safe="")
