"""The commands as an operator runs them: processes, signals, a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auditlog.roles import Role
from tests.conftest import ConnectAs, Events, WaitUntil
from tests.samples.models import Shelf

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]
ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 60


def started(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start a management command."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings.test", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def test_a_signal_while_a_batch_waits_lets_it_finish(
    events: Events, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    Shelf.objects.bulk_create(Shelf(name=str(number)) for number in range(4))
    keys = [event["audit"]["object_pk"] for event in events()]
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("UPDATE samples_shelf SET name = 'held' WHERE id = %s", [keys[0]])
        process = started("audit_snapshot", "samples.Shelf", "--batch-rows", "2", "--json")
        wait_until(lambda: owner_connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    resume = f"manage.py audit_snapshot samples.Shelf --after {keys[1]}"
    assert json.loads(out) == {"rows": {"samples.shelf": 2}, "links": {}, "complete": False, "resume": resume}
    assert f"Go on with: {resume}" in err.decode()
    recorded = events()
    assert [event["audit"]["object_pk"] for event in recorded] == keys[:2]
    actor = recorded[0]["audit"]["actor"]
    assert (actor["type"], actor["repr"].split()[:2]) == ("command", ["manage.py", "audit_snapshot"])


def test_a_terminal_shows_progress(events: Events) -> None:
    Shelf.objects.create(name="a")
    master, slave = pty.openpty()
    process = started("audit_snapshot", "samples.Shelf", stderr=slave)
    os.close(slave)
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    shown = os.read(master, 65_536).decode()
    os.close(master)
    assert (process.returncode, out.decode()) == (0, "samples.shelf: 1 rows recorded\n")
    assert "recording samples.shelf" in shown


def test_the_other_commands_run_with_the_service_s_roles(events: Events) -> None:
    coverage = started("audit_coverage", "--json")
    out, err = coverage.communicate(timeout=DEADLINE_SECONDS)
    assert (coverage.returncode, json.loads(out)["holes"], err) == (0, [], b"")
    bypass = started("audit_bypass", "samples.Shelf", "--grace", "0", "--json")
    out, err = bypass.communicate(timeout=DEADLINE_SECONDS)
    assert (bypass.returncode, json.loads(out)["outbox_read"], err) == (0, True, b"")
