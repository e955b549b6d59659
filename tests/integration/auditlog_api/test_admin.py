"""The audit log in Django's admin: to be read by auditors, to be written by nobody."""

from __future__ import annotations

import uuid

import pytest
from django.contrib import admin
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from psycopg.types.json import Jsonb

from auditlog import api_keys
from auditlog.models import ApiKey, AuditLog
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

LIST = "/admin/auditlog/auditlog/"


@pytest.fixture
def auditor(user_of: UserOf) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(user_of("auditor", is_staff=True))
    return browser


@pytest.fixture
def root(user_of: UserOf) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(user_of("root", is_staff=True, is_superuser=True))
    return browser


def change_of(event_id: uuid.UUID) -> str:
    return reverse("admin:auditlog_auditlog_change", args=[event_id])


def test_a_large_value_is_named_and_led_to(auditor: Client, store: Store) -> None:
    reference = {"$ref": "ab" * 32, "bytes": 70_002}
    event_id = store(
        changes=Jsonb({"bio": ["old", reference]}), before=Jsonb({"bio": "old"}), after=Jsonb({"bio": reference})
    )
    page = auditor.get(change_of(event_id)).content.decode()
    assert f"bio: &quot;old&quot; → a large value of 70,002 bytes, SHA-256 {'ab' * 32}" in page
    link = f'<a href="/api/audit/v1/events/{event_id}/values/{"ab" * 32}/">70,002 bytes, SHA-256 {"ab" * 32}</a>'
    assert page.count(link) == 1


def test_an_auditor_reads_the_list_and_an_event(auditor: Client, store: Store) -> None:
    event_id = store(
        actor=Jsonb({"id": "7", "repr": "m.okonkwo", "type": "user"}),
        actor_id="7",
        actor_repr="m.okonkwo",
        changes=Jsonb({"email": ["ü@example.org", None], "note": ["<script>", "x"]}),
        before=Jsonb(None, dumps=lambda _: '{"id": 17, "ratio": 0.12345678901234567890}'),
        context=Jsonb({"path": "/api/doctors/17/"}),
    )

    listed = auditor.get(LIST)
    assert listed.status_code == 200
    assert "user m.okonkwo (7)" in listed.content.decode()
    page = auditor.get(change_of(event_id)).content.decode()
    assert "email: &quot;ü@example.org&quot; → null" in page
    assert "&quot;ratio&quot;: 0.12345678901234567890" in page
    assert "&lt;script&gt;" in page
    assert "<script>&quot;" not in page
    assert "&quot;path&quot;: &quot;/api/doctors/17/&quot;" in page
    assert 'name="_save"' not in page
    assert "deletelink" not in page


@pytest.mark.parametrize("who", ["auditor", "root"])
def test_nobody_writes_the_audit_log(who: str, request: pytest.FixtureRequest, store: Store) -> None:
    event_id = store()
    browser: Client = request.getfixturevalue(who)
    change = change_of(event_id)

    assert browser.get(change).status_code == 200
    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(f"{LIST}add/", {"action": "none"}).status_code == 403
    assert browser.post(change, {"action": "none"}).status_code == 403
    assert browser.get(change.replace("/change/", "/delete/")).status_code == 403
    assert browser.post(change.replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403
    acted = browser.post(LIST, {"action": "delete_selected", "_selected_action": [str(event_id)], "post": "yes"})
    assert acted.status_code in {200, 302, 403}
    assert AuditLog.objects.get().action == "update"


def test_only_auditors_get_in(user_of: UserOf, store: Store) -> None:
    event_id = store()
    staff, stranger = Client(), Client()
    staff.force_login(user_of("staff", auditor=False, is_staff=True))
    stranger.force_login(user_of("stranger"))

    for path in (LIST, change_of(event_id)):
        assert staff.get(path).status_code == 403
        refused = stranger.get(path)
        assert (refused.status_code, refused["Location"].partition("?")[0]) == (302, "/admin/login/")


def test_the_list_is_narrowed_by_what_has_an_index_and_by_nothing_else(auditor: Client, store: Store) -> None:
    store(0, action="create", object_repr="Dr Create"), store(1, object_repr="Dr Update", model="doctors.patient")

    def shown(query: dict[str, str]) -> tuple[bool, bool]:
        page = auditor.get(LIST, query)
        assert page.status_code == 200, page.content
        return "Dr Create" in page.content.decode(), "Dr Update" in page.content.decode()

    assert shown({}) == (True, True)
    assert shown({"action": "create"}) == (True, False)
    assert shown({"category": "write"}) == (True, True)
    assert shown({"action": "activated"}) == (False, False)
    assert shown({"model": "doctors.patient"}) == (False, True)
    assert shown({"occurred_at__gte": NEWEST.isoformat()}) == (True, False)
    for lookup in ("object_repr__regex", "changes__a", "reason__icontains", "x", "object_pk__in"):
        assert auditor.get(LIST, {lookup: "(((("}).status_code == 400
    assert auditor.get(f"{LIST}?action=%00").status_code == 400
    assert auditor.get(LIST, {"occurred_at__gte": "never"}).status_code == 302


def test_a_list_that_is_cut_says_so(auditor: Client, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditlog.admin.LISTED_EVENTS", 2)
    monkeypatch.setattr("auditlog.admin.AuditLogAdmin.list_per_page", 1)
    store(0, object_repr="first"), store(1, object_repr="second")
    assert "Only the newest" not in auditor.get(LIST).content.decode()

    store(2, object_repr="third")
    page = auditor.get(LIST, {"p": 2}).content.decode()
    assert "Only the newest 2 of these events are listed here." in page
    assert ("first" in page, "second" in page, "third" in page) == (False, True, False)
    assert auditor.get(LIST, {"p": 3}).status_code == 302


def test_a_list_costs_the_same_statements_whatever_its_size(auditor: Client, store: Store) -> None:
    store()
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connections["audit"]) as captured:
            assert auditor.get(LIST).status_code == 200
        counts.append(len(captured))
        for number in range(30):
            store(number)
    # The bounded count and the page.
    assert counts == [2, 2]


def test_an_event_that_is_not_there_leads_back(auditor: Client) -> None:
    for key in (str(uuid.uuid4()), "x", "1'--"):
        assert auditor.get(f"{LIST}{key}/change/").status_code == 302


def test_a_key_is_seen_in_the_admin_and_neither_made_nor_changed(root: Client, user_of: UserOf) -> None:
    key = api_keys.issue(user=user_of(), name="reporting")
    row = ApiKey.objects.get()
    change = reverse("admin:auditlog_apikey_change", args=[row.pk])

    page = root.get(change).content.decode()
    assert row.prefix in page
    assert row.secret_sha256 not in page
    assert root.get("/admin/auditlog/apikey/add/").status_code == 403
    assert root.get("/admin/auditlog/apikey/").status_code == 200
    assert root.post(change, {"name": "mine", "expires_at_0": "2099-01-01"}).status_code == 403
    assert api_keys.verify(key, now=NEWEST) == row


def test_the_admin_registers_no_other_table_of_ours() -> None:
    ours = {model.__name__ for model in admin.site._registry if model._meta.app_label == "auditlog"}
    assert ours == {"AuditLog", "ApiKey", "AccessGrant"}
