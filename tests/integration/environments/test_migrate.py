"""`audit_migrate` on two databases, by two processes at once, and beside processes that are at work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg import sql

from auditlog.management.commands.audit_migrate import LOCK_KEY
from auditlog.roles import Role, create_roles, grant
from tests import database
from tests.conftest import WaitUntil
from tests.integration.environments.conftest import AddAlias

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
# Sessions whose last statement asked for the lock, whether they have it or not.
ASKED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'advisory_lock' AND pid <> %s"
)
BUILDING = "SELECT phase FROM pg_stat_progress_create_index WHERE datname = current_database()"
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('late_row_number')"
MAY_WRITE = "SELECT has_table_privilege('auditlog_app', 'auth_user', 'INSERT')"
MIGRATION = """
from django.db import migrations
class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = {before}
    operations = [migrations.RunSQL("{sql}")]
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


@pytest.fixture
def late_index(tmp_path: Path) -> tuple[dict[str, str], Callable[[], None]]:
    """Variables that add an app with a table, and a function that adds the migration that builds its index."""
    folder = tmp_path / "late" / "migrations"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    text = "from settings.local import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'late']\n"
    (tmp_path / "late_settings.py").write_text(text, encoding="utf-8")
    (folder / "0001_row.py").write_text(
        MIGRATION.format(atomic=True, before="[]", sql="CREATE TABLE late_row (number int)"), encoding="utf-8"
    )

    def add() -> None:
        statement = "CREATE INDEX CONCURRENTLY late_row_number ON late_row (number)"
        migration = MIGRATION.format(atomic=False, before="[('late', '0001_row')]", sql=statement)
        (folder / "0002_index.py").write_text(migration, encoding="utf-8")

    return {"DJANGO_SETTINGS_MODULE": "late_settings", "PYTHONPATH": str(tmp_path)}, add


def migrating(owners: list[psycopg.Connection[Any]], *options: str, **more: str) -> subprocess.Popen[str]:
    domain, audit = (database.role_address(Role.OWNER, database=owner.info.dbname) for owner in owners)
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "settings.local",
        "DATABASE_URL": domain.replace(Role.OWNER, Role.APP),
        "DATABASE_OWNER_URL": domain,
        "AUDIT_DATABASE_URL": audit.replace(Role.OWNER, Role.READER),
        "AUDIT_DATABASE_OWNER_URL": audit,
        **more,
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


def asked(owner: psycopg.Connection[Any]) -> int:
    (count,) = owner.execute(ASKED, [owner.info.backend_pid]).fetchone() or (0,)
    return int(count)


def test_two_that_migrate_at_once_take_turns_and_make_both_databases(
    owners: list[psycopg.Connection[Any]], wait_until: WaitUntil
) -> None:
    domain, audit = owners
    domain.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    processes = [migrating(owners), migrating(owners)]
    wait_until(lambda: asked(domain) == 2)
    assert tables(domain) == set()
    domain.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])

    codes, said = zip(*map(end_of, processes), strict=True)
    assert codes == (0, 0), said
    assert all("Another process migrates default: waiting for its end." in text for text in said)
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


def test_an_index_is_built_beside_writers_while_another_process_waits_its_turn(
    owners: list[psycopg.Connection[Any]],
    late_index: tuple[dict[str, str], Callable[[], None]],
    wait_until: WaitUntil,
) -> None:
    domain, _ = owners
    variables, add = late_index
    code, said = end_of(migrating(owners, **variables))
    assert code == 0, said
    add()
    url = database.role_address(Role.OWNER, database=domain.info.dbname)
    with psycopg.connect(url) as writer:
        # The index waits for this transaction before it begins, and for every older snapshot before it ends.
        writer.execute("INSERT INTO late_row VALUES (1)")
        first = migrating(owners, "--lock-timeout", "60", **variables)
        wait_until(lambda: domain.execute(BUILDING).fetchone(), timeout=END_SECONDS)
        second = migrating(owners, **variables)
        wait_until(lambda: asked(domain) == 2, timeout=END_SECONDS)
    codes, texts = zip(*map(end_of, (first, second)), strict=True)
    assert codes == (0, 0), texts
    assert "".join(texts).count("Applying late.0002_index") == 2  # once in each database
    assert domain.execute(VALID).fetchone() == (True,)


def test_nobody_is_without_a_right_while_rights_are_given(
    add_alias: AddAlias, owner_connection: psycopg.Connection[Any]
) -> None:
    seen: list[tuple[Any, ...] | None] = []

    def look(execute: Any, *arguments: Any) -> Any:
        result = execute(*arguments)
        seen.append(owner_connection.execute(MAY_WRITE).fetchone())
        return result

    owning = connections[add_alias("owning", USER=Role.OWNER.value)]
    with owning.execute_wrapper(look):
        assert grant(owning)
    assert len(seen) > 100
    assert set(seen) == {(True,)}
