"""The second wall behind PgBouncer in transaction mode: sessions that share a server's connection share no rights."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.db import connections

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.access.wall import behind_wall
from auditlog.models import AuditLog
from auditlog.partitions import lowest_id
from auditlog.roles import Role
from tests.conftest import ConnectAs
from tests.integration.capture.test_order import in_threads
from tests.integration.environments.conftest import AddAlias

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

STORE = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, action, category, topic, partition, "offset", sequence, labels)
VALUES (%s, %s, 'a.b', 'update', 'write', 'audit.a.b', 0, %s, %s, %s)
"""
ALL = Rights("user:1", frozenset({Scope.READ}))
ONE = Rights("user:2", frozenset({Scope.READ}), labels={"department": frozenset({"3"})})


def test_a_pooler_in_transaction_mode_hands_no_rights_to_the_next_transaction(
    pgbouncer: int, add_alias: AddAlias, connect_as: ConnectAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    for number in (3, 4):
        event_id = uuid.UUID(int=lowest_id(now).int | 0x7 << 76 | 0x8 << 60 | number)
        connect_as(Role.CONSUMER).execute(STORE, [event_id, now, number, str(number), [f"department:{number}"]])
    pooled = {"USER": Role.READER.value, "PORT": pgbouncer, "DISABLE_SERVER_SIDE_CURSORS": True}
    alias = add_alias("pooled_reader", **pooled)
    monkeypatch.setattr("auditlog.routers.READ_MODEL_ALIAS", alias)

    def read(number: int) -> None:
        for turn in range(20):
            with behind_wall((ALL, ONE)[(number + turn) % 2]):
                found.append(((number + turn) % 2, AuditLog.objects.count()))
        connections[alias].close()

    found: list[tuple[int, int]] = []
    in_threads(4, read)
    assert set(found) == {(0, 2), (1, 1)}
