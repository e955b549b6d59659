"""Lives of objects in the audit log, as short as tests want to write them."""

from __future__ import annotations

import uuid
from typing import Any

from psycopg.types.json import Jsonb

from tests.integration.auditlog_api.conftest import Store

Image = dict[str, Any]
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
