"""Lives of objects in the audit log, as short as tests want to write them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.integration.auditlog_api.conftest import NEWEST, Store

Image = dict[str, Any]
ADA: dict[str, Any] = {"id": 17, "email": "a@x", "phone": None}
DOCTOR = "/api/audit/v1/objects/doctors.doctor/17/"


def row(store: Store, minutes: int, before: Image | None, after: Image | None, **values: Any) -> uuid.UUID:
    """Store the event of a row, so many minutes old, that differs in what its images differ in."""
    old, new = before or {}, after or {}
    changes = {
        name: [old.get(name), new.get(name)] for name in {**old, **new} if old.get(name) != new.get(name)
    } | values.pop("masked_changes", {})
    action = "update" if before and after else "create" if after else "delete"
    members = {
        "action": action,
        "before": before and Jsonb(before),
        "after": after and Jsonb(after),
        "changes": Jsonb(changes),
        "changed_fields": list(changes),
        **values,
    }
    return store(minutes, **members)


def snapshot(store: Store, minutes: int, image: Image) -> uuid.UUID:
    """Store the event of a row as it is."""
    return store(minutes, action="snapshot", after=Jsonb(image), changes=None)


def links(store: Store, minutes: int, action: str, *, added: Any = (), removed: Any = (), **m2m: Any) -> uuid.UUID:
    """Store a membership event of the specialties."""
    members = {
        "field": "specialties",
        "target_model": "doctors.specialty",
        "added": list(added),
        "removed": list(removed),
        "through": None,
        "labels": None,
        **m2m,
    }
    topic = "audit.doctors.doctor.events"
    return store(minutes, action=action, m2m=Jsonb(members), changes=None, changed_fields=["specialties"], topic=topic)


def access(store: Store, minutes: int, **values: Any) -> uuid.UUID:
    """Store that somebody looked."""
    topic = "audit.doctors.doctor.events"
    return store(minutes, **{"action": "access", "category": "read", "changes": None, "topic": topic, **values})


def at(minutes: int) -> str:
    """Return the instant of what happened so many minutes before the newest event."""
    return (NEWEST - timedelta(minutes=minutes)).isoformat()


def as_of(client: APIClient, minutes: int, path: str = DOCTOR) -> Any:
    """Return the answer to what an object was."""
    answer = client.get(f"{path}as-of/", {"at": at(minutes)})
    assert answer.status_code == 200, answer.content
    return answer.json()


def values(answer: Any) -> dict[str, Any]:
    """Return the values of an answer by field."""
    return {name: field["value"] for name, field in answer["fields"].items()}


def setters(answer: Any) -> dict[str, str | None]:
    """Return the id of the event that set each field, or why there is none."""
    return {
        name: field["set_by"]["event_id"] if field["set_by"] else field["origin"]
        for name, field in answer["fields"].items()
    }
