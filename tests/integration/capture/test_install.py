"""Installing, removing and reinstalling the functions in databases of other people, while they are being written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from tests.conftest import Events
from tests.stack import URLS, address

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[3]
# Saves a department and prints how often a write went uncaptured in this process.
WRITE = """
import json
from auditlog.metrics import UNCAPTURED_WRITES
from doctors.models import Department
Department.objects.create(code={code!r}, name="x")
Department.objects.filter(code={code!r}).update(name="y")
samples = [s for m in UNCAPTURED_WRITES.collect() for s in m.samples if s.name.endswith("_total")]
print(json.dumps([[s.labels["reason"], s.value] for s in samples]))
"""
Manage = Callable[..., str]


@pytest.fixture
def database() -> Iterator[psycopg.Connection[Any]]:
    """An empty database of an ordinary role, without the service's roles having any part in it."""
    name = f"test_install_{os.getpid()}"
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = address(os.environ["TEST_POSTGRES_ADMIN_URL"], user="postgres", database=name)
            with psycopg.connect(url, autocommit=True) as opened:
                yield opened
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def manage(database: psycopg.Connection[Any]) -> Manage:
    """Run a management command on that database, and return what it printed."""
    url = address(os.environ["TEST_POSTGRES_ADMIN_URL"], user="postgres", database=database.info.dbname)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings.local", **dict.fromkeys(URLS, url)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def write(manage: Manage, code: str) -> Any:
    return json.loads(manage("shell", "--no-imports", "-c", WRITE.format(code=code)).splitlines()[-1])


def codes(database: psycopg.Connection[Any]) -> list[str]:
    rows = database.execute("SELECT value::json -> 'after' ->> 'code' FROM auditlog_outboxevent ORDER BY id")
    return [code for (code,) in rows.fetchall()]


def test_writes_go_on_before_after_and_between_the_migrations(
    database: psycopg.Connection[Any], manage: Manage
) -> None:
    manage("migrate", "doctors", "-v0")
    assert write(manage, "early") == [["not_installed", 2.0]]
    manage("migrate", "-v0")
    assert write(manage, "second") == []
    assert codes(database) == ["second", "second"]
    manage("migrate", "auditlog", "zero", "-v0")
    assert write(manage, "third") == [["not_installed", 2.0]]
    manage("migrate", "-v0")
    assert write(manage, "fourth") == []
    assert codes(database) == ["fourth", "fourth"]
    names = database.execute("SELECT code FROM doctors_department ORDER BY id").fetchall()
    assert [code for (code,) in names] == ["early", "second", "third", "fourth"]


def test_a_database_that_django_auditlog_was_in_gets_our_tables(
    database: psycopg.Connection[Any], manage: Manage
) -> None:
    manage("migrate", "contenttypes", "-v0")
    database.execute("CREATE TABLE auditlog_logentry (id bigint PRIMARY KEY)")
    database.execute(
        "INSERT INTO django_migrations (app, name, applied) "
        "SELECT 'auditlog', name, now() FROM unnest(%s::text[]) AS name",
        [["0001_initial", "0002_auto_support_long_primary_keys", "0015_alter_logentry_changes"]],
    )
    manage("migrate", "-v0")
    write(manage, "new")
    assert codes(database) == ["new", "new"]


def test_tenants_that_change_the_search_path_write_to_the_one_outbox(
    database: psycopg.Connection[Any], manage: Manage
) -> None:
    manage("migrate", "-v0")
    database.execute("CREATE SCHEMA tenant")
    database.execute("CREATE TABLE tenant.doctors_department (LIKE public.doctors_department INCLUDING ALL)")
    path = 'from django.db import connection\nconnection.cursor().execute("SET search_path = tenant, public")'
    code = WRITE.format(code="t")
    manage("shell", "--no-imports", "-c", path.replace("\n", ";") + code)
    rows = database.execute(
        "SELECT value::json -> 'source' ->> 'schema', value::json -> 'source' ->> 'table' FROM auditlog_outboxevent"
    )
    assert rows.fetchall() == [("tenant", "doctors_department")] * 2
    assert database.execute("SELECT code FROM tenant.doctors_department").fetchall() == [("t",)]


def test_historical_models_of_migrations_are_captured_with_the_columns_that_they_have(events: Events) -> None:
    apps = MigrationLoader(connection).project_state(("doctors", "0001_initial")).apps
    old = apps.get_model("doctors", "Specialty")
    row = old.objects.create(name="Cardiology")
    old.objects.update(name="Surgery")
    created, updated = events()
    assert created["audit"]["model"] == "doctors.specialty"
    assert (updated["before"]["name"], updated["after"]["name"]) == ("Cardiology", "Surgery")
    assert updated["audit"]["object_pk"] == str(row.pk)
