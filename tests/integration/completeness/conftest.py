"""What the tests of completeness share: running a command and reading its report."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from auditlog.frames import frames_scope
from tests.conftest import WaitUntil

PROJECT = """
INSERT INTO auditlog_auditlog (
    event_id, occurred_at, model, object_pk, action, category, before, after, m2m, masked, schema_version, topic,
    partition, "offset", sequence
)
SELECT event_id, occurred_at, v #>> '{audit,model}', key, v #>> '{audit,action}', v #>> '{audit,category}',
    nullif(v -> 'before', 'null'), nullif(v -> 'after', 'null'), nullif(v #> '{audit,m2m}', 'null'),
    v #> '{audit,masked}', schema_version, topic, 0, id, v #>> '{source,sequence}'
FROM (SELECT *, value::jsonb AS v FROM auditlog_outboxevent) o
WHERE v ? 'audit'
"""
# (exit code, report)
Run = Callable[..., tuple[int, dict[str, Any]]]
Project = Callable[[], None]
# Calls a function with 1, 2, … in a thread, from before the block begins until it ends.
Writing = Callable[[Callable[[int], None]], AbstractContextManager[None]]
NOW = ("--grace", "0")


def raw(statement: str, *parameters: Any) -> None:
    """Write past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.fixture(autouse=True)
def no_frames() -> Iterator[None]:
    """Begin without what other tests left open, as a request does."""
    with frames_scope():
        yield


@pytest.fixture
def run() -> Run:
    """Run a command with --json, and return its exit code and report."""

    def run_command(*arguments: str) -> tuple[int, dict[str, Any]]:
        out, code = StringIO(), 0
        try:
            call_command(*arguments, "--json", stdout=out)
        except CommandError as exc:
            code = exc.returncode
        except SystemExit as exc:
            code = int(exc.code or 0)
        report: dict[str, Any] = json.loads(out.getvalue())
        return code, report

    return run_command


@pytest.fixture
def project(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Callable[[], None]:
    """Return a function that stores what waits in the outbox in the audit log, as relay and consumer do."""

    def store() -> None:
        with owner_connection.transaction():
            owner_connection.execute(PROJECT)
            owner_connection.execute("DELETE FROM auditlog_outboxevent")

    return store


@pytest.fixture
def writing(wait_until: WaitUntil) -> Writing:
    """Keep writing beside what the block does."""

    @contextmanager
    def beside(write: Callable[[int], None]) -> Iterator[None]:
        stop, written = threading.Event(), 0

        def work() -> None:
            nonlocal written
            try:
                while not stop.is_set():
                    write(written + 1)
                    written += 1
            finally:
                connections.close_all()

        writer = threading.Thread(target=work)
        writer.start()
        try:
            wait_until(lambda: written)
            yield
        finally:
            stop.set()
            writer.join(30)

    return beside
