"""A PostgreSQL and a Kafka that can be killed and started again on the same data, and databases on them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

from auditlog.roles import Role, create_roles
from devstack import ports
from devstack.kafka import Kafka
from devstack.postgres import Postgres, wheel_binaries
from tests.acceptance.pipeline.services import DEADLINE_SECONDS, OWNER, Deployment
from tests.stack import address, debian_binaries, say

TEMPLATE = "clinic_template"
POLL_SECONDS = 0.05


class Servers:
    """Both servers; durable ones, as recovering from a crash is what is tested."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="auditlog-faults-"))
        # PostgreSQL's own user must reach its data below it.
        self.folder.chmod(0o755)
        version = os.environ.get("TEST_POSTGRES")
        binaries = debian_binaries(version) if version else wheel_binaries()
        self._postgres = Postgres(self.folder / "postgres", ports.free_port(), binaries=binaries, options=("fsync=on",))
        self._kafka = Kafka(self.folder / "kafka", port=ports.free_port(), controller_port=ports.free_port())
        self._postgres_process: subprocess.Popen[bytes] | None = None
        self._kafka_process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return self._kafka.bootstrap_servers

    def url(self, *, role: str, database: str) -> str:
        """Return the address of a database for a role."""
        return address(self._postgres.admin_url, user=role, database=database)

    def start_postgres(self) -> None:
        """Start PostgreSQL unless it runs, and wait until it has recovered from a crash."""
        if self._postgres_process is None:
            self._postgres_process = self._postgres.start(progress=say)

    def start_kafka(self) -> None:
        """Start Kafka unless it runs; clients wait for it by themselves."""
        if self._kafka_process is None:
            self._kafka_process = self._kafka.start(progress=say)

    def are_ready(self) -> bool:
        """Tell whether both accept connections."""
        return self._postgres.answers() and ports.answers(self._kafka.port)

    def kill_postgres(self) -> None:
        """End the postmaster and all its children at once, as a crash of the machine would."""
        process = self._postgres_process
        assert process is not None
        # Stopped, it makes no more children while they are counted.
        process.send_signal(signal.SIGSTOP)
        children = children_of(process.pid)
        assert children
        for pid in (process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        self._postgres_process = None
        # The shared memory is free when the last of them is gone.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while any(is_alive(pid) for pid in children):
            assert time.monotonic() < deadline, "a backend survives SIGKILL"
            time.sleep(POLL_SECONDS)

    def freeze_kafka(self) -> None:
        """Let the broker hang: connections stay, and nothing is answered."""
        assert self._kafka_process is not None
        self._kafka_process.send_signal(signal.SIGSTOP)

    def thaw_kafka(self) -> None:
        """Let a frozen broker go on."""
        assert self._kafka_process is not None
        self._kafka_process.send_signal(signal.SIGCONT)

    def kill_kafka(self) -> None:
        """End the broker without a chance to tidy up."""
        assert self._kafka_process is not None
        self._kafka_process.kill()
        self._kafka_process.wait()
        self._kafka_process = None

    def make_template(self) -> None:
        """Migrate a database that others are copied from."""
        with psycopg.connect(self._postgres.admin_url, autocommit=True) as admin:
            create_roles(admin, database=TEMPLATE, passwords={})
        self.deployment(database=TEMPLATE, prefix=TEMPLATE, folder=self.folder).run("migrate", "migrate", roles=OWNER)

    def make_database(self, name: str) -> None:
        """Make a clean database."""
        with psycopg.connect(self._postgres.admin_url, autocommit=True) as admin:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
            admin.execute(statement.format(*map(sql.Identifier, (name, TEMPLATE, Role.OWNER))))

    def deployment(self, *, database: str, prefix: str, folder: Path) -> Deployment:
        """Return a deployment on these servers."""
        return Deployment(
            address=lambda role: self.url(role=role, database=database),
            bootstrap=self.bootstrap,
            prefix=prefix,
            folder=folder,
        )

    def stop(self) -> None:
        """End both, and remove their data: nothing of it is worth a slow farewell."""
        if self._kafka_process is not None:
            self.kill_kafka()
        if self._postgres_process is not None:
            self.kill_postgres()
        shutil.rmtree(self.folder, ignore_errors=True)


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and parent(entry) == pid]


def parent(process: Path) -> int | None:
    """Return the parent of a process; None where it is gone."""
    fields = status(process)
    return int(fields[1]) if fields else None


def is_alive(pid: int) -> bool:
    """Tell whether a process runs: one that nobody has asked about since its end does not."""
    fields = status(Path("/proc") / str(pid))
    return bool(fields) and fields[0] not in {"Z", "X"}


def status(process: Path) -> list[str]:
    """Return the fields of a process's status from its state on (proc(5)); none where it is gone."""
    try:
        # The name before them, in parentheses, may hold blanks.
        return (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
