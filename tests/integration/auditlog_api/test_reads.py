"""The audit of the audit: no call of the audit API is answered before its event is in the outbox."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.core.signing import dumps
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog import api_keys, topics
from auditlog.api.views.base import AuditView
from auditlog.context import disable_auditlog
from tests.conftest import Events
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

BASE = "/api/audit/v1/"
EVENTS = f"{BASE}events/"
TIMELINE = f"{BASE}objects/doctors.doctor/17/timeline/"


def told(events: Events) -> list[dict[str, Any]]:
    """Return the events about the audit log since the last call."""
    return [event["audit"] for event in events() if event["audit"]["action"].startswith("audit_log_")]


def facts(audit: dict[str, Any]) -> tuple[Any, ...]:
    """Return what an event says of a call."""
    data = audit["data"]
    return audit["action"], audit["category"], data["operation"], data["status"], data["rows"]


def test_every_resource_of_the_audit_api_records_its_calls() -> None:
    routes = list(_routes(get_resolver().url_patterns, ""))
    audited = {route: view for route, view in routes if route.startswith("api/audit/")}
    assert len(audited) > 4
    for route, view in audited.items():
        assert issubclass(view, AuditView), route
        # Whoever replaces one of these could leave the event out.
        for name in ("finalize_response", "dispatch", "as_view", "initial"):
            assert getattr(view, name).__qualname__.startswith("AuditView."), (route, name)


def _routes(patterns: list[Any], prefix: str) -> Any:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and (view := getattr(pattern.callback, "cls", None)):
            yield route, view


def test_calls_say_who_asked_what_and_why(client: APIClient, key: str, store: Store, events: Events) -> None:
    event_id = store(1)
    store(2)
    events()
    reason = {"x-audit-reason": "  Access   review\t2026-Q4 "}

    assert client.get(f"{EVENTS}?model=doctors.doctor&page_size=1", headers=reason).status_code == 200
    (audit,) = told(events)
    assert facts(audit) == ("audit_log_read", "read", "audit-events", 200, 1)
    assert audit["object_pk"] == audit["data"]["principal"] == f"api_key:{key.partition('.')[0]}"
    assert (audit["model"], audit["object_repr"]) == (topics.SYSTEM_MODEL, "audit-events")
    assert audit["reason"] == "Access review 2026-Q4"
    assert (audit["data"]["method"], audit["data"]["path"]) == ("GET", EVENTS)
    assert audit["data"]["asked"]["filter"] == {"field": "model", "in": ["doctors.doctor"]}
    assert (audit["actor"]["repr"], audit["actor"]["type"]) == ("auditor", "api_key")

    search = {"filter": {"field": "action", "is": "update"}}
    assert client.post(f"{EVENTS}search/", search).status_code == 200
    assert client.get(f"{EVENTS}{event_id}/").status_code == 200
    assert client.get(TIMELINE).status_code == 200
    assert client.get(f"{BASE}access-log/").status_code == 200
    assert [facts(audit)[2:] for audit in told(events)] == [
        ("audit-search", 200, 2),
        ("audit-event", 200, 1),
        ("audit-timeline", 200, 2),
        ("audit-access-log", 200, 0),
    ]


def test_what_is_refused_is_told_too(client: APIClient, user_of: UserOf, store: Store, events: Events) -> None:
    store()
    stranger = APIClient()
    stranger.force_login(user_of("stranger", auditor=False))
    events()
    forged = dumps(["x"], salt="auditlog.api.cursors", key="another key")
    client.get(EVENTS, {"cursor": forged})
    client.get(f"{EVENTS}{uuid.uuid4()}/")
    client.get(f"{BASE}objects/doctors.nothing/1/timeline/")
    client.get(EVENTS, {"colour": "red"})
    client.delete(EVENTS)
    stranger.get(EVENTS)
    assert [facts(audit) for audit in told(events)] == [
        ("audit_log_refused", "security", "audit-events", 400, None),
        ("audit_log_refused", "security", "audit-event", 404, None),
        ("audit_log_refused", "security", "audit-timeline", 404, None),
        ("audit_log_refused", "read", "audit-events", 400, None),
        ("audit_log_refused", "read", "audit-events", 405, None),
        ("audit_log_refused", "security", "audit-events", 403, None),
    ]


def test_a_cursor_of_another_caller_is_a_security_event(
    client: APIClient, user_of: UserOf, store: Store, events: Events
) -> None:
    store(1)
    store(2)
    link = client.get(EVENTS, {"page_size": 1}).json()["next"]
    other = APIClient()
    other.force_login(user_of("other"))
    events()
    assert other.get(link).json()["code"] == "invalid_cursor"
    (audit,) = told(events)
    assert (audit["category"], audit["data"]["code"]) == ("security", "invalid_cursor")


@pytest.mark.parametrize("cursor", ["", "x" * 6_001], ids=["empty", "too long"])
@pytest.mark.parametrize(("path", "name"), [(EVENTS, "cursor"), (f"{BASE}feed/", "after")])
def test_what_no_cursor_could_be_is_a_security_event(
    client: APIClient, events: Events, path: str, name: str, cursor: str
) -> None:
    events()
    answer = client.get(path, {name: cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")
    (audit,) = told(events)
    assert (audit["category"], audit["data"]["code"]) == ("security", "invalid_cursor")


@pytest.mark.parametrize("path", [EVENTS, TIMELINE, f"{BASE}access-log/", f"{EVENTS}{{event}}/", f"{BASE}nope/"])
def test_nothing_is_answered_that_cannot_be_recorded(
    client: APIClient, store: Store, unrecordable: None, path: str
) -> None:
    event_id = store(object_repr="Dr Ada Byron")
    answer = client.get(path.format(event=event_id))
    assert answer.status_code == (404 if "nope" in path else 503)
    assert b"Ada" not in answer.content
    if answer.status_code == 503:
        assert answer.json()["detail"].startswith("The call cannot be recorded")
        assert answer["X-Request-ID"] == answer.json()["request_id"]


def test_a_refusal_that_cannot_be_recorded_is_no_answer_either(user_of: UserOf, unrecordable: None) -> None:
    stranger = APIClient()
    stranger.force_login(user_of("stranger", auditor=False))
    assert stranger.get(EVENTS).status_code == 503


def test_nothing_is_answered_where_the_functions_are_not_installed(
    client: APIClient, store: Store, owner_connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store()
    monkeypatch.setattr("auditlog.capture.messages.capability", lambda _connection: None)
    assert client.get(EVENTS).status_code == 503


def test_auditing_that_is_disabled_does_not_hide_a_call(client: APIClient, store: Store, events: Events) -> None:
    store()
    events()
    with disable_auditlog(reason="nobody shall know"):
        assert client.get(EVENTS).status_code == 200
    assert [facts(audit)[:3] for audit in told(events)] == [("audit_log_read", "read", "audit-events")]


def test_the_event_of_a_refusal_stays_where_requests_are_transactions(
    user_of: UserOf, events: Events, settings: Any
) -> None:
    stranger = APIClient()
    stranger.force_login(user_of("stranger", auditor=False))
    events()
    connection = connections["default"]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert stranger.get(EVENTS).status_code == 403
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert [facts(audit)[3] for audit in told(events)] == [403]


def test_a_call_costs_one_statement_to_be_recorded_and_no_broker(
    client: APIClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store()
    client.get(EVENTS)
    with CaptureQueriesContext(connections["default"]) as captured:
        assert client.get(EVENTS).status_code == 200
    recorded = [query["sql"] for query in captured if "auditlog_record" in query["sql"]]
    # The last one: before it stand the key with its user, permissions and grants.
    assert recorded == [captured[len(captured) - 1]["sql"]]


def test_values_of_fields_that_may_be_hidden_are_not_kept(client: APIClient, store: Store, events: Events) -> None:
    store()
    events()
    for asked in ("tax_id&old=900-70-0001", "email&old=a@example.org", "nothing_has_it&old=secret"):
        assert client.get(f"{EVENTS}?changed_field={asked}").status_code == 200
    search = {"filter": {"not": {"changed": "tax_id", "new_in": ["900-70-0002"]}}}
    assert client.post(f"{EVENTS}search/", search).status_code == 200
    hidden = {"$redacted": "asked"}
    assert [audit["data"]["asked"]["filter"] for audit in told(events)] == [
        {"changed": "tax_id", "old_in": hidden},
        {"changed": "email", "old_in": ["a@example.org"]},
        {"changed": "nothing_has_it", "old_in": hidden},
        {"not": {"changed": "tax_id", "new_in": hidden}},
    ]


def test_of_a_long_question_every_condition_is_kept(client: APIClient, store: Store, events: Events) -> None:
    events()
    asked_for = [
        # What nobody asks for seriously, to hide what is meant behind it.
        *({"field": "object_repr", "in": [f"{number}{'x' * 1_000}"]} for number in range(4)),
        {"changed": "city", "new_in": [{"y" * 2_000: 1}, "Oslo"]},
        {"field": "object_pk", "in": ["17"]},
    ]
    assert client.post(f"{EVENTS}search/", {"filter": {"or": asked_for}}).status_code == 200
    (audit,) = told(events)
    *decoys, changed, meant = audit["data"]["asked"]["filter"]["or"]
    assert meant == {"field": "object_pk", "in": ["17"]}
    long, short = changed["new_in"]
    assert (long["$shortened"][:5], short) == ('{"yyy', "Oslo")
    text = '"0' + "x" * 1_000 + '"'
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert decoys[0]["in"] == [{"$shortened": text[:40], "bytes": len(text), "sha256": digest}]
    assert len(json.dumps(audit["data"])) < 3_000


def test_who_asked_for_whom_is_kept_from_those_from_whom_events_hide_it(
    client: APIClient, store: Store, events: Events, user_of: UserOf
) -> None:
    store(subjects=["doctors.patient:42"], classes='{"health": ["$subjects"]}')
    events()
    assert len(client.get(EVENTS, {"not.model": "x.y", "subject": "doctors.patient:42"}).json()["results"]) == 1
    assert client.get(EVENTS, {"label": "department:3"}).status_code == 200
    assert client.get(EVENTS, {"model": "doctors.doctor"}).status_code == 200
    named, labelled, other = told(events)
    assert named["classes"] == labelled["classes"] == {"confidential": ["asked", "rows"]}
    assert "classes" not in other
    store(model="auditlog.system", data=Jsonb(named["data"]), classes=json.dumps(named["classes"]))

    def seen(caller: APIClient) -> Any:
        return caller.get(EVENTS, {"model": "auditlog.system", "fields": "data"}).json()["results"][0]["data"]

    insensitive = APIClient()
    user = user_of("insensitive", auditor=False)
    user.user_permissions.add(Permission.objects.get(codename="read", content_type__app_label="auditlog"))
    insensitive.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user, name='test')}")
    hidden = {"$redacted": "confidential"}
    assert seen(insensitive) == {**named["data"], "asked": hidden, "rows": hidden}
    assert seen(client) == named["data"]


@pytest.mark.parametrize(
    "reason",
    ["a\x1b[31mred", "\xe2\x80\xaeabc", 'x" level=error msg="forged', "\xff\xfe", "line\x0bbreak", "é" * 5_000],
)
def test_a_reason_cannot_forge_a_line(client: APIClient, store: Store, events: Events, reason: str) -> None:
    events()
    assert client.get(EVENTS, headers={"x-audit-reason": reason}).status_code == 200
    (audit,) = told(events)
    assert audit["reason"] is None or audit["reason"].isprintable()
    assert len(audit["reason"] or "") <= 1_000


def test_a_reason_is_demanded_of_those_who_see_restricted_values(
    client: APIClient, store: Store, events: Events, settings: Any
) -> None:
    settings.AUDITLOG_DEMAND_REASON = True
    store()
    events()
    refused = client.get(EVENTS)
    assert (refused.status_code, refused.json()["code"]) == (403, "reason_required")
    assert client.get(EVENTS, headers={"x-audit-reason": " "}).status_code == 403
    assert client.get(EVENTS, headers={"x-audit-reason": "Access review"}).status_code == 200
    assert [facts(audit)[0] for audit in told(events)] == ["audit_log_refused"] * 2 + ["audit_log_read"]


def test_a_value_that_has_not_arrived_is_asked_for_all_the_same(
    client: APIClient, store: Store, events: Events
) -> None:
    sha256 = "ab" * 32
    event_id = store(after=Jsonb({"bio": {"$ref": sha256, "bytes": 70_002}}))
    events()
    answer = client.get(f"{EVENTS}{event_id}/values/{sha256}/")
    assert (answer.status_code, answer.json()["code"]) == (503, "content_pending")
    (audit,) = told(events)
    assert facts(audit) == ("audit_log_refused", "read", "audit-value", 503, None)
