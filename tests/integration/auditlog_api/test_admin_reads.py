"""Looks at the audit log in the admin: each leaves an event before the page is made, or shows nothing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from auditlog.context import disable_auditlog
from tests.conftest import ConnectAs, Events
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

LIST = "/admin/auditlog/auditlog/"


@pytest.fixture
def auditor(user_of: UserOf) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(user_of("auditor", is_staff=True))
    return browser


def told(events: Events) -> list[dict[str, Any]]:
    """Return the events about the audit log since the last call."""
    return [event["audit"] for event in events() if event["audit"]["action"].startswith("audit_log_")]


def test_each_look_is_an_event(auditor: Client, store: Store, events: Events) -> None:
    event_id = store(1)
    store(2, model="doctors.patient")
    events()

    with disable_auditlog(reason="nobody shall know"):
        assert auditor.get(LIST, {"model": "doctors.doctor"}).status_code == 200
    (audit,) = told(events)
    assert (audit["action"], audit["category"], audit["model"]) == ("audit_log_read", "read", "auditlog.system")
    assert (audit["object_pk"], audit["object_repr"]) == (audit["data"]["principal"], "admin-events")
    assert audit["data"]["asked"] == {"model": ["doctors.doctor"]}
    assert (audit["data"]["rows"], audit["data"]["status"], audit["data"]["path"]) == (1, 200, LIST)
    assert audit["actor"]["repr"] == "auditor"

    page = reverse("admin:auditlog_auditlog_change", args=[event_id])
    assert auditor.get(page).status_code == 200
    (audit,) = told(events)
    assert (audit["object_repr"], audit["data"]["rows"], audit["data"]["path"]) == ("admin-event", 1, page)


def test_a_look_at_what_is_not_there_and_one_that_is_refused_are_told(
    auditor: Client, user_of: UserOf, events: Events
) -> None:
    stranger = Client()
    stranger.force_login(user_of("stranger", auditor=False, is_staff=True))
    events()
    for browser, status in ((auditor, 302), (stranger, 403)):
        assert browser.get(reverse("admin:auditlog_auditlog_change", args=[uuid.uuid4()])).status_code == status
    missing, refused = told(events)
    assert (missing["action"], missing["category"], missing["data"]["status"]) == ("audit_log_refused", "security", 404)
    assert (refused["action"], refused["category"], refused["data"]["status"]) == ("audit_log_refused", "security", 403)
    assert refused["data"]["rows"] is missing["data"]["rows"] is None


def test_nothing_is_shown_where_the_look_cannot_be_recorded(
    auditor: Client, store: Store, connect_as: ConnectAs, unrecordable: None
) -> None:
    store(object_repr="Dr Ada Byron")
    answer = auditor.get(LIST)
    assert answer.status_code == 503
    assert b"Ada" not in answer.content


def test_no_page_shows_events_where_a_reason_is_demanded(
    auditor: Client, store: Store, events: Events, settings: Any
) -> None:
    settings.AUDITLOG_DEMAND_REASON = True
    store(object_repr="Dr Ada Byron")
    events()
    answer = auditor.get(LIST)
    assert answer.status_code == 403
    assert b"Ada" not in answer.content
    assert [audit["data"]["status"] for audit in told(events)] == [403]
