"""`audit_migrate` on two empty databases, by two processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from auditlog.management.commands.audit_migrate import LOCK_KEY
from auditlog.roles import Role, create_roles
from tests import database
from tests.conftest import WaitUntil

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND NOT granted AND datname = %s
"""
PARTITIONS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'auditlog_auditlog'::regclass"
END_SECONDS = 120


@pytest.fixture
def owners(django_db_setup: None) -> Iterator[list[psycopg.Connection[Any]]]:
    """Connections of the owner to an empty database for the domain, and to one for the read model."""
    names = [f"test_migrate_{kind}_{os.getpid()}" for kind in ("domain", "audit")]
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin, ExitStack() as stack:
        for name in names:
            create_roles(admin, database=name, passwords={})
            stack.callback(admin.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        urls = [database.role_address(Role.OWNER, database=name) for name in names]
        yield [stack.enter_context(psycopg.connect(url, autocommit=True)) for url in urls]


def migrating(owners: list[psycopg.Connection[Any]], *options: str) -> subprocess.Popen[str]:
    domain, audit = (database.role_address(Role.OWNER, database=owner.info.dbname) for owner in owners)
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings.local",
        "DATABASE_URL": domain.replace(Role.OWNER, Role.APP),
        "DATABASE_OWNER_URL": domain,
        "AUDIT_DATABASE_URL": audit.replace(Role.OWNER, Role.READER),
        "AUDIT_DATABASE_OWNER_URL": audit,
    }
    command = [sys.executable, "manage.py", "audit_migrate", *options]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=END_SECONDS)
    return process.returncode, said


def tables(owner: psycopg.Connection[Any]) -> set[str]:
    return {name for (name,) in owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def test_two_that_migrate_at_once_take_turns_and_make_both_databases(
    owners: list[psycopg.Connection[Any]], wait_until: WaitUntil
) -> None:
    domain, audit = owners
    domain.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    processes = [migrating(owners), migrating(owners)]
    wait_until(lambda: domain.execute(WAITING, [domain.info.dbname]).fetchone() == (2,))
    assert tables(domain) == set()
    domain.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])

    codes, said = zip(*map(end_of, processes), strict=True)
    assert codes == (0, 0), said
    assert "".join(said).count("Applying auditlog.0001_outbox") == 2  # once in each database
    assert ("auditlog_outboxevent" in tables(domain), "auditlog_auditlog" in tables(domain)) == (True, False)
    assert ("auditlog_outboxevent" in tables(audit), "auditlog_auditlog" in tables(audit)) == (False, True)
    (partitions,) = audit.execute(PARTITIONS).fetchone() or (0,)
    assert partitions >= 4


def test_a_migration_gives_up_soon_where_a_table_is_in_use(owners: list[psycopg.Connection[Any]]) -> None:
    code, said = end_of(migrating(owners))
    assert code == 0, said
    domain, _ = owners
    domain.execute("DELETE FROM django_migrations WHERE app = 'admin'")
    domain.execute("DROP TABLE django_admin_log")
    with domain.transaction():
        # Whoever makes a table that refers to this one waits for it.
        domain.execute("LOCK TABLE auth_user IN EXCLUSIVE MODE")
        code, said = end_of(migrating(owners, "--lock-timeout", "0.2"))
    assert code == 1
    assert "The database was not migrated: canceling statement due to lock timeout" in said
    assert "django_admin_log" not in tables(domain)
    code, said = end_of(migrating(owners))
    assert code == 0, said
    assert "django_admin_log" in tables(domain)
