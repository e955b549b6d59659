"""Small Django projects of other people, written into a directory and run in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.stack import address

OUTBOX = "SELECT value::json FROM auditlog_outboxevent ORDER BY id"


@contextmanager
def databases_of(role: str, *names: str) -> Iterator[list[psycopg.Connection[Any]]]:
    """Make a role with no rights but to log in, and empty databases that it owns; yield its connections to them."""
    admin_url = os.environ["TEST_POSTGRES_ADMIN_URL"]
    owner = sql.Identifier(role)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(owner))
        opened: list[psycopg.Connection[Any]] = []
        try:
            for name in names:
                admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), owner))
                opened.append(psycopg.connect(address(admin_url, user=role, database=name), autocommit=True))
            yield opened
        finally:
            for connection in opened:
                connection.close()
            for name in names:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(owner))


def database_settings(connection: psycopg.Connection[Any], **more: Any) -> dict[str, Any]:
    """Return an entry of DATABASES for the database of a connection."""
    info = connection.info
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": info.host,
        "PORT": info.port,
        "NAME": info.dbname,
        "USER": info.user,
        **more,
    }


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run(folder: Path, script: str, *, settings: str, python_path: Path) -> Any:
    """Run a script in a project, with nothing of ours in reach but `python_path`; return the JSON that it printed."""
    foreign = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    environment = {
        **foreign,
        "DJANGO_SETTINGS_MODULE": settings,
        "PYTHONPATH": os.pathsep.join([str(python_path), "."]),
    }
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def outbox(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the events of a database in order."""
    return [value for (value,) in connection.execute(OUTBOX).fetchall()]
