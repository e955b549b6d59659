"""What callers and writers slip in stays text: in the log, in JSON, in the admin; and ids cannot be tried unseen."""

from __future__ import annotations

import io
import json
import logging
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.conftest import Events
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

BASE = "/api/audit/v1/"
EVENTS = f"{BASE}events/"
SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
LINE = "a\r\n2026-11-26T00:00:00Z [error] forged.line user=root\x1b[2J\u2028b"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is written to the log, as lines for people: in JSON a line break is none anyway."""
    (handler,) = [each for each in logging.getLogger().handlers if each.get_name() == "stderr"]
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before or sys.stderr)


@pytest.fixture
def laced(store: Store) -> uuid.UUID:
    """An event whose every text is a script."""
    return store(
        object_repr=SCRIPT,
        reason=SCRIPT,
        actor=Jsonb({"id": "7", "repr": SCRIPT, "type": "user", "on_behalf_of": None}),
        actor_id="7",
        actor_repr=SCRIPT,
        changes=Jsonb({"bio": [SCRIPT, SCRIPT]}),
        before=Jsonb({"bio": SCRIPT}),
        after=Jsonb({"bio": SCRIPT}),
        context=Jsonb({"user_agent": SCRIPT, "path": SCRIPT}),
    )


def test_a_stored_script_stays_text_in_json(client: APIClient, laced: uuid.UUID) -> None:
    for path in (EVENTS, f"{EVENTS}{laced}/", f"{BASE}objects/doctors.doctor/17/timeline/"):
        answer = client.get(path, headers={"accept": "*/*"})
        assert answer.status_code == 200
        # No browser takes it for a page, whatever it holds.
        assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/json", "nosniff")
        event = answer.json().get("results", [answer.json()])[0]
        assert (event["object_repr"], event["changes"]) == (SCRIPT, {"bio": [SCRIPT, SCRIPT]})
    refused = client.get(EVENTS, headers={"accept": "text/html"})
    assert refused.status_code == 406


def test_a_stored_script_stays_text_in_the_admin(user_of: UserOf, laced: uuid.UUID) -> None:
    browser = Client()
    browser.force_login(user_of("root", is_staff=True, is_superuser=True))
    for path in ("/admin/auditlog/auditlog/", reverse("admin:auditlog_auditlog_change", args=[laced])):
        page = browser.get(path)
        assert page.status_code == 200
        text = page.content.decode()
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert(1)" not in text
        assert "<img src=x" not in text


def test_a_script_in_a_question_stays_text_in_the_problem_and_in_the_log_of_reads(
    client: APIClient, user_of: UserOf, events: Events
) -> None:
    events()
    answer = client.get(EVENTS, {SCRIPT: SCRIPT, "from": SCRIPT})
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert {error["pointer"] for error in answer.json()["errors"]} >= {"/from"}
    (audit,) = [event["audit"] for event in events() if event["audit"]["model"] == "auditlog.system"]
    assert audit["data"]["code"] == "invalid_filter"


@pytest.mark.parametrize("name", ["object_pk", "request_id", "reason", "q", "changed_field", "cursor", "sort", LINE])
def test_nothing_in_a_question_begins_a_line_of_the_log(
    client: APIClient, store: Store, log: io.StringIO, name: str
) -> None:
    store()
    headers = {
        "x-audit-reason": LINE.replace("\r\n", " "),
        "user-agent": "b\x0bforged.line",
        "x-request-id": "forged\x85x",
    }
    client.get(EVENTS, {name: LINE}, headers=headers)
    client.get(f"{BASE}objects/doctors.doctor/{LINE.encode().hex()}%0d%0aforged.line/timeline/", headers=headers)
    lines = log.getvalue().splitlines()
    assert any("request.finished" in line for line in lines)
    assert not [line for line in lines if line.startswith(("2026-11-26T00:00:00Z [error]", "forged"))]


def test_absent_and_forbidden_events_are_answered_alike(client: APIClient, user_of: UserOf, store: Store) -> None:
    theirs = store(actor_id="someone-else")
    reader = APIClient()
    user = user_of("reader", auditor=False)
    user.user_permissions.add(Permission.objects.get(codename="read_own"))
    reader.force_login(user)
    assert client.get(f"{EVENTS}{theirs}/").status_code == 200

    found = [reader.get(f"{EVENTS}{event_id}/") for event_id in (theirs, uuid.uuid4(), uuid.UUID(int=0))]
    bodies = [{**answer.json(), "request_id": None} for answer in found]
    assert [answer.status_code for answer in found] == [404] * 3
    assert bodies[0] == bodies[1] == bodies[2]
    assert all("ETag" not in answer for answer in found)


def test_whoever_tries_ids_leaves_a_security_event_for_each(client: APIClient, events: Events) -> None:
    events()
    tried = [uuid.uuid4() for _ in range(5)]
    for event_id in tried:
        assert client.get(f"{EVENTS}{event_id}/").status_code == 404
    told = [event["audit"] for event in events() if event["audit"]["action"] == "audit_log_refused"]
    assert [audit["data"]["asked"]["event_id"] for audit in told] == [str(event_id) for event_id in tried]
    assert {audit["category"] for audit in told} == {"security"}


@pytest.mark.parametrize("resource", ["events/", "objects/doctors.doctor/17/timeline/", "access-log/"])
def test_a_cursor_is_good_for_its_resource_its_filters_and_its_bytes_alone(
    client: APIClient, user_of: UserOf, store: Store, resource: str
) -> None:
    for number in range(3):
        store(number)
        store(
            number,
            model="auditlog.system",
            action="audit_log_read",
            actor_id="none",
            topic="audit.auditlog.system.events",
        )
    admin = APIClient()
    admin.force_login(user_of("root", is_superuser=True))
    link = admin.get(f"{BASE}{resource}", {"page_size": 1}).json()["next"]
    cursor = link.partition("cursor=")[2].partition("&")[0]
    assert admin.get(link).status_code == 200
    others = [
        f"{BASE}{resource}?cursor={cursor[:-1]}{'A' if cursor[-1] != 'A' else 'B'}",
        f"{BASE}{resource}?cursor={cursor[1:]}",
        f"{BASE}{resource}?action=update&cursor={cursor}",
        f"{BASE}{'access-log/' if resource == 'events/' else 'events/'}?cursor={cursor}",
        f"{BASE}objects/doctors.doctor/18/timeline/?cursor={cursor}",
    ]
    for address in others:
        answer = admin.get(address)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), address
    assert client.get(link).json()["code"] == "invalid_cursor" or resource == "access-log/"


def test_a_problem_quotes_no_value_of_the_log(client: APIClient, store: Store) -> None:
    event_id = store(object_repr="Dr Ada Byron", after=Jsonb({"bio": "Ada's life"}))
    answer: Any = client.get(f"{EVENTS}{event_id}/values/{'0' * 64}/")
    assert answer.status_code == 404
    assert "Ada" not in json.dumps(answer.json())
