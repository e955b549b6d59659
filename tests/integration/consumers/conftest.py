"""Databases as the consumer sees them, and what the read model holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.db import connections

from auditlog.models import AuditLog
from auditlog.roles import Role
from consumers.projector import Projector

GROUP = "test"
Connect = Callable[[Role], psycopg.Connection[Any]]


@pytest.fixture
def read_model(transactional_db: None) -> Iterator[None]:
    """The tables of the read model as their owner sees them, with none but the migrations' partitions at the end."""
    with acting_as(Role.OWNER, alias="default"), acting_as(Role.OWNER):
        yield
        _drop_new_partitions()


def _drop_new_partitions() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'auditlog_auditlog'::regclass AND NOT EXISTS ("
            "  SELECT FROM generate_series(-1, 3) m "
            "  WHERE c.relname = 'auditlog_auditlog_p' || to_char(now() + make_interval(months => m), 'YYYYMM'))"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")


@pytest.fixture
def as_role(read_model: None) -> Iterator[Connect]:
    """Return a function that connects to the test database as one of the service's roles."""
    opened = []

    def connect(role: Role) -> psycopg.Connection[Any]:
        parameters = connections["default"].get_connection_params()
        connection = psycopg.connect(
            host=parameters.get("host"),
            port=parameters.get("port"),
            dbname=parameters["dbname"],
            user=role.value,
            password=parameters.get("password"),
            autocommit=True,
        )
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


@contextmanager
def acting_as(role: Role, *, alias: str = "audit") -> Iterator[None]:
    """Connect an alias as `role`."""
    connection = connections[alias]
    connection.close()
    user = connection.settings_dict["USER"]
    connection.settings_dict["USER"] = role.value
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["USER"] = user


@pytest.fixture
def projector(read_model: None, settings: LazySettings) -> Iterator[Projector]:
    """A projector with the consumer's rights, of the group whose offsets are positions."""
    settings.KAFKA_CONSUMER_GROUP = GROUP
    with acting_as(Role.CONSUMER):
        yield Projector(group=GROUP)


def stored_ids() -> list[str]:
    """Return the ids of the events in the read model, in the order of their offsets."""
    rows = AuditLog.objects.using("default").order_by("topic", "partition", "offset")
    return [str(event_id) for event_id in rows.values_list("event_id", flat=True)]
