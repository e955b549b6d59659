"""Who looked at the audit log: everybody's calls for an administrator, the own ones for all others."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.conftest import Events
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

LOG = "/api/audit/v1/access-log/"


@pytest.fixture
def calls(store: Store) -> dict[str, uuid.UUID]:
    """Calls of two callers, and an event of the system that is none."""

    def call(number: int, principal: str, actor_id: str, operation: str, action: str) -> uuid.UUID:
        return store(
            number,
            model="auditlog.system",
            topic="audit.auditlog.system.events",
            object_pk=principal,
            object_repr=operation,
            action=action,
            category="read",
            actor_id=actor_id,
            changes=None,
            data=Jsonb({"operation": operation}),
        )

    return {
        "list": call(1, "user:7001", "7001", "audit-events", "audit_log_read"),
        "refused": call(2, "user:7002", "7002", "audit-event", "audit_log_refused"),
        "other": call(3, "user:7002", "7002", "audit-events", "audit_log_read"),
        "gap": call(4, "user:7002", "7002", "audit-events", "auditing_disabled"),
    }


def as_user(user_of: UserOf, pk: int, *codenames: str) -> APIClient:
    """Return a program of a user with these permissions."""
    user = user_of(f"user-{pk}", auditor=False, pk=pk)
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    program = APIClient()
    program.force_login(user)
    return program


def listed(program: APIClient, calls: dict[str, uuid.UUID], **query: str) -> list[str]:
    """Return the names of the calls that are shown, newest first."""
    answer = program.get(LOG, query)
    assert answer.status_code == 200, answer.content
    names = {str(event_id): name for name, event_id in calls.items()}
    return [names[event["event_id"]] for event in answer.json()["results"]]


def test_an_administrator_sees_every_call_and_nothing_else(user_of: UserOf, calls: dict[str, uuid.UUID]) -> None:
    admin = as_user(user_of, 7000, "admin")
    assert listed(admin, calls) == ["list", "refused", "other"]
    assert listed(admin, calls, principal="user:7002") == ["refused", "other"]
    assert listed(admin, calls, operation="audit-events") == ["list", "other"]
    assert listed(admin, calls, action="audit_log_refused") == ["refused"]
    # The right to see calls is none to see events.
    assert admin.get("/api/audit/v1/events/").status_code == 403


def test_whom_somebody_asked_for_is_shown_to_who_may_see_whom_events_are_about(user_of: UserOf, store: Store) -> None:
    asked = {"asked": {"filter": {"field": "subject", "in": ["doctors.patient:42"]}}, "rows": 1, "status": 200}
    classes = '{"confidential": ["asked", "rows"]}'
    store(model="auditlog.system", object_pk="user:1", action="audit_log_read", data=Jsonb(asked), classes=classes)

    def seen(pk: int, *codenames: str) -> Any:
        return as_user(user_of, pk, *codenames).get(LOG, {"fields": "data"}).json()["results"][0]["data"]

    assert seen(7000, "admin", "read_sensitive") == asked
    hidden = {"$redacted": "confidential"}
    assert seen(7001, "admin") == {"asked": hidden, "rows": hidden, "status": 200}


def test_others_see_their_own_calls(user_of: UserOf, calls: dict[str, uuid.UUID]) -> None:
    auditor = as_user(user_of, 7002, "view_auditlog")
    assert listed(auditor, calls) == ["refused", "other"]
    assert listed(auditor, calls, principal="user:7001") == []
    assert auditor.get(LOG).json()["policy_filters"] == ["own"]


def test_pages_lead_on_and_reading_them_is_told(user_of: UserOf, calls: dict[str, uuid.UUID], events: Events) -> None:
    admin = as_user(user_of, 7000, "admin")
    events()
    first = admin.get(LOG, {"page_size": 2}).json()
    second = admin.get(first["next"]).json()
    assert [event["event_id"] for event in first["results"] + second["results"]] == [
        str(calls[name]) for name in ("list", "refused", "other")
    ]
    told: list[dict[str, Any]] = [event["audit"] for event in events()]
    assert [(audit["object_repr"], audit["data"]["rows"]) for audit in told] == [
        ("audit-access-log", 2),
        ("audit-access-log", 1),
    ]


@pytest.mark.parametrize("query", ["model=doctors.doctor", "principal=", "operation=a&operation=b", "actor=7"])
def test_a_filter_that_is_not_known_is_refused(user_of: UserOf, query: str) -> None:
    answer = as_user(user_of, 7000, "admin").get(f"{LOG}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_who_may_read_nothing_sees_no_call(user_of: UserOf) -> None:
    assert as_user(user_of, 7003).get(LOG).status_code == 403
