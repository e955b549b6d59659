"""Stored events, and callers of the audit API."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from psycopg import sql
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.partitions import EXISTING, lowest_id
from auditlog.roles import Role
from tests.conftest import ConnectAs

Store = Callable[..., uuid.UUID]
UserOf = Callable[..., Any]
# Whole seconds, so that a test can name the very microsecond of an event.
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def event_id_at(at: datetime) -> uuid.UUID:
    """Return a new UUIDv7 of a time."""
    return uuid.UUID(int=lowest_id(at).int | 0x7 << 76 | 0x8 << 60 | secrets.randbits(60))


@pytest.fixture
def new_partitions_go(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Leave no partition behind that was not there: other tests count on its absence."""
    before = partition_names(owner_connection)
    yield
    for name in partition_names(owner_connection) - before:
        owner_connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


@pytest.fixture
def consumer(new_partitions_go: None, connect_as: ConnectAs) -> psycopg.Connection[Any]:
    """A connection of the role that appends to the read model."""
    return connect_as(Role.CONSUMER)


def partition_names(owner: psycopg.Connection[Any]) -> set[str]:
    """Return the names of all partitions of the read model."""
    return {name for (name,) in owner.execute(EXISTING.encode()).fetchall()}


@pytest.fixture
def store(consumer: psycopg.Connection[Any]) -> Store:
    """Return a function that stores one event; `number` is its age in minutes before NEWEST."""

    def make(number: int = 0, **values: Any) -> uuid.UUID:
        at = values.get("occurred_at", NEWEST - timedelta(minutes=number))
        row = {
            "event_id": event_id_at(at),
            "occurred_at": at,
            "model": "doctors.doctor",
            "object_pk": "17",
            "object_repr": "Dr Ada Byron",
            "action": "update",
            "category": "write",
            "changes": Jsonb({"email": ["a@example.org", "b@example.org"]}),
            "topic": "audit.doctors.doctor",
            "partition": 0,
            "offset": number,
            "sequence": f"00000001:{10_000 - number:020}",
            **values,
        }
        consumer.execute("SELECT auditlog_ensure_partition(%s)", [at])
        columns = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join(["%s"] * len(row))
        consumer.execute(f"INSERT INTO auditlog_auditlog ({columns}) VALUES ({marks})".encode(), list(row.values()))
        event_id: uuid.UUID = row["event_id"]
        return event_id

    return make


@pytest.fixture
def user_of() -> UserOf:
    """Return a function that makes a user, an auditor unless told otherwise; the test's mark gives the database."""

    def make(username: str = "auditor", *, auditor: bool = True, **fields: Any) -> Any:
        user = get_user_model().objects.create_user(username=username, **fields)
        if auditor:
            user.user_permissions.add(Permission.objects.get(codename="view_auditlog"))
        return user

    return make


@pytest.fixture
def key(user_of: UserOf) -> str:
    """An auditor's API key."""
    return api_keys.issue(user=user_of(), name="test")


@pytest.fixture
def client(key: str) -> APIClient:
    """An auditor's program."""
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    return caller


@pytest.fixture
def caller(user_of: UserOf) -> APIClient:
    """A program that may do everything; a crash is an answer with status 500."""
    program = APIClient(raise_request_exception=False)
    key = api_keys.issue(user=user_of(is_superuser=True, is_staff=True), name="test")
    program.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    return program


@pytest.fixture
def unrecordable(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let the outbox take no event of the system: the application may no longer call the function that records."""
    function = "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'auditlog_record'"
    ((name,),) = owner_connection.execute(function.encode()).fetchall()
    owner_connection.execute(f"REVOKE EXECUTE ON FUNCTION {name} FROM {Role.APP}".encode())
    yield
    owner_connection.execute(f"GRANT EXECUTE ON FUNCTION {name} TO {Role.APP}".encode())
