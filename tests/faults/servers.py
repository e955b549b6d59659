"""The servers of the fault suite, which can be killed and started again on the same data, and databases on them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from auditlog.roles import Role, create_roles
from devstack.postgres import Postgres, running_as, system_user, wheel_binaries
from tests.acceptance.pipeline.services import DEADLINE_SECONDS, OWNER, Deployment
from tests.faults.cluster import Cluster, free_ports
from tests.faults.proxy import Mode, Proxy
from tests.stack import address, debian_binaries, say

TEMPLATE = "clinic_template"
SHOP_SETTINGS = "tests.faults.settings"
POLL_SECONDS = 0.05
# Durable, as recovering from a crash is what is tested; its own clients may be many.
DURABLE = ("fsync=on", "max_connections=200")


class Server:
    """One PostgreSQL."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        version = os.environ.get("TEST_POSTGRES")
        binaries = debian_binaries(version) if version else wheel_binaries()
        self._postgres = Postgres(folder, free_ports(1)[0], binaries=binaries, options=(*DURABLE, *options))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._postgres.port

    @property
    def folder(self) -> Path:
        """Where its data are."""
        return self._postgres.directory

    @property
    def admin_url(self) -> str:
        """The superuser's address."""
        return self._postgres.admin_url

    def url(self, *, role: str, database: str, port: int | None = None) -> str:
        """Return the address of a database for a role, directly or through a port in front of it."""
        found = address(self.admin_url, user=role, database=database)
        return found.replace(f":{self.port}/", f":{port or self.port}/")

    def start(self) -> None:
        """Start it unless it runs, and wait until it has recovered from a crash."""
        if self._process is None:
            self._process = self._postgres.start(progress=say)

    def answers(self) -> bool:
        """Tell whether it accepts connections."""
        return self._postgres.answers()

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Shut it down: fast with SIGINT, immediately with SIGQUIT."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(DEADLINE_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End the postmaster and all its children at once, as a crash of the machine would; safe to repeat."""
        if self._process is None:
            return
        process, self._process = self._process, None
        # Stopped, it makes no more children while they are counted.
        process.send_signal(signal.SIGSTOP)
        children = children_of(process.pid)
        assert children
        for pid in (process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        # The shared memory is free when the last of them is gone.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while any(is_alive(pid) for pid in children):
            assert time.monotonic() < deadline, "a backend survives SIGKILL"
            time.sleep(POLL_SECONDS)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser, each by itself."""
        with psycopg.connect(self.url(role="postgres", database=database), autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement.encode())

    def make_folder(self) -> None:
        """Make an empty folder for its data that its user owns."""
        self.folder.mkdir(mode=0o700)
        if user := system_user():
            os.chown(self.folder, pwd.getpwnam(user).pw_uid, -1)

    def program(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs to its end, as the user who owns the data."""
        command = [str(self._postgres.binaries / name), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", **running_as(system_user())
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"


class Servers:
    """PostgreSQL, Kafka, and the proxies between them and the service."""

    def __init__(self, *, brokers: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="auditlog-faults-"))
        # PostgreSQL's own user must reach its data below it.
        self.folder.chmod(0o755)
        self.domain = Server(self.folder / "postgres")
        self.cluster = Cluster(self.folder, brokers=brokers)
        self.proxies = {role: Proxy(self.domain.port) for role in (Role.APP, Role.RELAY, Role.CONSUMER)}
        self._others: list[Server] = []
        self._made = 0

    @property
    def bootstrap(self) -> str:
        """The brokers' address."""
        return self.cluster.direct

    def start(self) -> None:
        """Start everything, and make databases to copy."""
        self.cluster.start()
        self.domain.start()
        self.make_template(self.domain)

    def start_postgres(self) -> None:
        """Start PostgreSQL unless it runs."""
        self.domain.start()

    def start_kafka(self) -> None:
        """Start the brokers that do not run."""
        self.cluster.start()

    def are_ready(self) -> bool:
        """Tell whether all accept connections."""
        return self.domain.answers() and self.cluster.are_ready()

    def kill_postgres(self) -> None:
        """End PostgreSQL as a crash of the machine would."""
        self.domain.kill()

    def freeze_kafka(self) -> None:
        """Let the brokers hang: connections stay, and nothing is answered."""
        self.cluster.send(signal.SIGSTOP)

    def thaw_kafka(self) -> None:
        """Let frozen brokers go on."""
        self.cluster.send(signal.SIGCONT)

    def kill_kafka(self) -> None:
        """End the brokers without a chance to tidy up."""
        self.cluster.kill()

    def heal(self) -> None:
        """Start what was killed, thaw what was frozen, and let connections pass: as before the first fault."""
        self.start_kafka()
        self.thaw_kafka()
        self.cluster.heal()
        for other in self._others:
            other.kill()
        self._others.clear()
        self.start_postgres()
        self.domain.execute("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
        for proxy in self.proxies.values():
            proxy.slow_down()
            proxy.switch(Mode.OPEN)
            proxy.redirect(self.domain.port)

    def another(self, folder: Path | None = None, *, options: tuple[str, ...] = ()) -> Server:
        """Return one more PostgreSQL, not started, which ends with the scenario."""
        self._made += 1
        made = Server(folder or self.folder / f"postgres-{self._made}", options=options)
        self._others.append(made)
        return made

    def make_template(self, server: Server) -> None:
        """Migrate a database that others are copied from: the clinic and the shop."""
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            create_roles(admin, database=TEMPLATE, passwords={})
        made = self.deployment(
            address=lambda role: server.url(role=role, database=TEMPLATE), prefix=TEMPLATE, folder=self.folder
        )
        made.run("migrate", "migrate", roles=OWNER)
        made.settings = SHOP_SETTINGS
        made.run("migrate-shop", "migrate", "--run-syncdb", roles=OWNER)

    def make_database(self, name: str, *, server: Server | None = None) -> None:
        """Make a clean database."""
        with psycopg.connect((server or self.domain).admin_url, autocommit=True) as admin:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
            admin.execute(statement.format(*map(sql.Identifier, (name, TEMPLATE, Role.OWNER))))

    def drop_database(self, name: str) -> None:
        """Remove a database of the first server, whoever uses it."""
        with psycopg.connect(self.domain.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def deployment(self, *, address: Callable[[str], str], prefix: str, folder: Path) -> Deployment:
        """Return a deployment on these brokers, directly."""
        return Deployment(address=address, bootstrap=self.bootstrap, prefix=prefix, folder=folder)

    def stop(self) -> None:
        """End all, and remove their data: nothing of it is worth a slow farewell."""
        self.cluster.close()
        for server in (self.domain, *self._others):
            server.kill()
        for proxy in self.proxies.values():
            proxy.close()
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
