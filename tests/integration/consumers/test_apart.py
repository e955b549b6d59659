"""The proof and its repair where the audit log is in another database than the outbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.utils import timezone

from auditlog.roles import Role, create_roles
from consumers.kafka import TopicWriter
from consumers.records import Partition, Record
from tests import database
from tests.integration.consumers.processes import DEADLINE_SECONDS, ROOT
from tests.integration.consumers.topics import Topic
from tests.unit.consumers.builders import event, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
LEDGER = """
INSERT INTO auditlog_outboxledger (
    topic, outbox_ids, event_ids, digest, relay, first_occurred_at, last_occurred_at, acknowledged_at
) VALUES (%s, '{}', %s, 0, 'test', %s, %s, now())
"""


class Apart:
    """A domain's database and one of the audit log, and commands that see both."""

    def __init__(self, domain: str, audit: str) -> None:
        self.domain, self.audit = domain, audit

    def run(self, *arguments: str, domain: Role, audit: Role) -> tuple[int, str]:
        """Run a command with these roles; return its exit code and what it said."""
        addresses = {
            "DATABASE_URL": database.role_address(domain, database=self.domain),
            "DATABASE_OWNER_URL": database.role_address(Role.OWNER, database=self.domain),
            "AUDIT_DATABASE_URL": database.role_address(audit, database=self.audit),
            "AUDIT_DATABASE_OWNER_URL": database.role_address(Role.OWNER, database=self.audit),
            "KAFKA_BOOTSTRAP_SERVERS": settings.KAFKA_CONNECTION["bootstrap.servers"],
            "DJANGO_SETTINGS_MODULE": "settings.local",
        }
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | addresses,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout if done.returncode in {0, 1} and done.stdout else done.stderr


@contextmanager
def made(admin: psycopg.Connection[Any], name: str) -> Iterator[str]:
    """Make an empty database for the length of a block."""
    create_roles(admin, database=name, passwords={})
    try:
        yield name
    finally:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def apart(django_db_setup: None) -> Iterator[Apart]:
    """Two migrated databases."""
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin:
        names = (f"test_apart_domain_{os.getpid()}", f"test_apart_audit_{os.getpid()}")
        with made(admin, names[0]), made(admin, names[1]):
            both = Apart(*names)
            code, said = both.run("audit_migrate", domain=Role.APP, audit=Role.READER)
            assert code == 0, said
            yield both


def test_a_lost_event_is_found_and_restored_where_the_audit_log_is_in_another_database(apart: Apart) -> None:
    topic, at = Topic(), timezone.now()
    topic.create()
    event_id = uuid7(at)
    value = event(at=at, event_id=str(event_id))
    TopicWriter(connection=settings.KAFKA_CONNECTION).write(
        [Record(Partition(topic.name, 0), 0, b"17", json.dumps(value).encode(), (("ce_id", str(event_id).encode()),))]
    )
    with psycopg.connect(database.role_address(Role.OWNER, database=apart.domain), autocommit=True) as owner:
        owner.execute(LEDGER, [topic.name, [event_id], at, at])
    read = {"domain": Role.READER, "audit": Role.READER}
    code, said = apart.run("audit_reconcile", "--wait", "0", "--topics", "--chains", "--json", **read)
    assert (code, json.loads(said)["missing"]) == (1, [str(event_id)])
    change = {"domain": Role.RELAY, "audit": Role.CONSUMER}
    repair = ("--repair", "--reason", "lost")
    code, said = apart.run("audit_reconcile", "--wait", "0", "--topics", *repair, "--json", **change)
    assert (code, json.loads(said)["restored"]["read_model"]) == (0, [str(event_id)]), said
    with psycopg.connect(database.role_address(Role.OWNER, database=apart.audit), autocommit=True) as owner:
        assert owner.execute("SELECT event_id, topic FROM auditlog_auditlog").fetchall() == [(event_id, topic.name)]
    with psycopg.connect(database.role_address(Role.OWNER, database=apart.domain), autocommit=True) as owner:
        ((told,),) = owner.execute("SELECT value FROM auditlog_outboxevent").fetchall()
    assert json.loads(told)["audit"]["data"] == {"restored_to": "read_model", "events": [str(event_id)]}
