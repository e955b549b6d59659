"""The test database: made with the service's own roles, migrated as its owner, emptied as its owner."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import connections
from psycopg import sql

from auditlog.roles import Role, create_roles
from tests.stack import URLS, address
from tests.trees import python_of

MIGRATE_WITH = "TEST_MIGRATE_WITH"
SEED_SCHEMA = "test_seed"
# Written by migrations and never by a test; the secret's value must stay the one that the functions know.
KEPT = {"django_migrations", "django_content_type", "auth_permission", "auditlog_secret"}
TABLES = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1
"""


def role_address(role: str, *, database: str | None = None) -> str:
    """Return the address of the test database for a role."""
    name = database or connections["default"].settings_dict["NAME"]
    return address(os.environ["TEST_POSTGRES_ADMIN_URL"], user=role, database=name)


@contextmanager
def made_database(name: str) -> Iterator[None]:
    """Make and migrate the database for the length of a block; both aliases and child processes are pointed to it."""
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin:
        create_roles(admin, database=name, passwords={})
        _point_at(name)
        try:
            _migrate()
            _keep_seed()
            yield
        finally:
            connections.close_all()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def empty() -> None:
    """Remove what a transactional test committed, and put back the rows that migrations made."""
    with psycopg.connect(role_address(Role.OWNER), autocommit=True) as owner, owner.transaction():
        seeded = _names(owner, "SELECT tablename FROM pg_tables WHERE schemaname = 'test_seed' ORDER BY 1")
        used = [sql.Identifier(name) for name in _names(owner, TABLES) if name not in KEPT]
        owner.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(used)))
        for name in seeded:
            statement = sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE SELECT * FROM {}")
            owner.execute(statement.format(sql.Identifier(name), sql.Identifier(SEED_SCHEMA, name)))


def _point_at(name: str) -> None:
    for alias in ("default", "audit"):
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name
    for variable, role in URLS.items():
        os.environ[variable] = role_address(role, database=name)


def _migrate() -> None:
    """Migrate with this tree's code, or with that of the trees that TEST_MIGRATE_WITH names, one after the other."""
    if trees := os.environ.get(MIGRATE_WITH):
        for tree in map(Path, trees.split(os.pathsep)):
            _migrate_with(tree)
        return
    settings = connections["default"].settings_dict
    role, settings["USER"] = settings["USER"], Role.OWNER.value
    try:
        call_command("migrate", run_syncdb=True, verbosity=0, interactive=False, skip_checks=True)
    finally:
        connections["default"].close()
        settings["USER"] = role


def _migrate_with(tree: Path) -> None:
    command = [python_of(tree), "manage.py", "migrate", "--run-syncdb", "--no-input", "--skip-checks", "-v", "0"]
    owner = {variable: role_address(Role.OWNER) for variable in URLS}
    variables = {**os.environ, **owner, "DJANGO_SETTINGS_MODULE": "settings.test"}
    subprocess.run(command, cwd=tree, env=variables, check=True)


def _keep_seed() -> None:
    with psycopg.connect(role_address(Role.OWNER), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SEED_SCHEMA)))
        for name in set(_names(owner, TABLES)) - KEPT:
            table = sql.Identifier(name)
            if owner.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(table)).fetchone():
                copy = sql.Identifier(SEED_SCHEMA, name)
                owner.execute(sql.SQL("CREATE TABLE {} AS SELECT * FROM {}").format(copy, table))


def _names(connection: psycopg.Connection[Any], query: str) -> list[str]:
    return [name for (name,) in connection.execute(query.encode()).fetchall()]
