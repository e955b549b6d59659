"""The same service under ASGI: the edge and the probes are middlewares for both."""

from __future__ import annotations

import pytest
from django.test import AsyncClient

from tests.integration.auditlog_api.conftest import Store

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"


async def test_an_auditor_reads_events(key: str, store: Store) -> None:
    event_id = store()

    answer = await AsyncClient().get(EVENTS, headers={"authorization": f"Api-Key {key}"})

    assert answer.status_code == 200
    assert [event["event_id"] for event in answer.json()["results"]] == [str(event_id)]
    assert (await AsyncClient().get(EVENTS)).status_code == 401


async def test_probes_answer_whatever_the_host(transactional_db: None) -> None:
    caller, headers = AsyncClient(), {"host": "["}
    paths = ("/livez", "/readyz", "/metrics")

    assert [(await caller.get(path, headers=headers)).status_code for path in paths] == [200, 200, 200]
    refused = await caller.get(EVENTS, headers=headers)
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")


async def test_what_no_view_could_read_is_refused(transactional_db: None) -> None:
    caller = AsyncClient()

    too_large = await caller.post(EVENTS, b"x" * 10_000_000, content_type="application/json")
    other_charset = await caller.generic("POST", EVENTS, b"{}", content_type="application/json; charset=rot13")
    malformed = await caller.get(f"{EVENTS}?model=%00")
    unknown = await caller.get("/api/nothing/")

    answers = [too_large, other_charset, malformed, unknown]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (413, "payload_too_large"),
        (415, "unsupported_media_type"),
        (400, "invalid_filter"),
        (404, "not_found"),
    ]
