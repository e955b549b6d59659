"""Stored events, and callers of the audit API."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.queries.events import uuid_floor

Store = Callable[..., uuid.UUID]
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


@pytest.fixture
def store(transactional_db: None) -> Store:
    """Return a function that stores one event; `number` is its age in minutes before NEWEST."""

    def make(number: int = 0, **values: Any) -> uuid.UUID:
        at = NEWEST - timedelta(minutes=number)
        event_id = uuid.UUID(int=uuid_floor(at).int | 0x7 << 76 | 0x8 << 60 | secrets.randbits(60))
        row = {
            "event_id": event_id,
            "occurred_at": at,
            "model": "doctors.doctor",
            "object_pk": "17",
            "action": "update",
            "category": "write",
            "changes": Jsonb({"email": ["a@example.org", "b@example.org"]}),
            "topic": "audit.doctors.doctor",
            "partition": 0,
            "offset": number,
            "sequence": f"00000001:{10_000 - number:020}",
            **values,
        }
        columns = ", ".join(f'"{name}"' for name in row)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO auditlog_auditlog ({columns}) VALUES ({', '.join(['%s'] * len(row))})",
                list(row.values()),
            )
        return event_id

    return make


@pytest.fixture
def user_of(transactional_db: None) -> Callable[..., Any]:
    """Return a function that makes a user, an auditor unless told otherwise."""

    def make(username: str = "auditor", *, auditor: bool = True) -> Any:
        user = get_user_model().objects.create_user(username=username)
        if auditor:
            user.user_permissions.add(Permission.objects.get(codename="view_auditlog"))
        return user

    return make


@pytest.fixture
def client(user_of: Callable[..., Any]) -> APIClient:
    """An auditor's program."""
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user_of(), name='test')}")
    return caller
