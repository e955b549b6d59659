"""The programs of the stack: what to run for each process and with which environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditlog.roles import Role
from devstack.addresses import Databases, cleared
from devstack.folder import Folder
from devstack.kafka import ENVIRONMENT
from devstack.ports import HOST
from devstack.processes import Program, mark

API_WORKERS = 2
API_THREADS = 4
GRACE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Programs:
    """Makes programs for one start of the stack."""

    folder: Folder
    databases: Databases
    kafka: Mapping[str, str]  # variables by which a client finds it
    topic_prefix: str
    ports: Mapping[str, int]

    def postgres(self, command: Sequence[str], user: str | None) -> Program:
        """Return the server that is started with this command."""
        return self._server("postgres", command, user, {})

    def broker(self, command: Sequence[str]) -> Program:
        """Return the broker that is started with this command."""
        return self._server("kafka", command, None, ENVIRONMENT)

    def api(self) -> Program:
        """Return the web server."""
        command = [sys.executable, "-m", "gunicorn", "settings.wsgi", "--bind", f"{HOST}:{self.ports['api']}"]
        command += ["--workers", str(API_WORKERS), "--threads", str(API_THREADS), "--access-logfile", "-"]
        # Its control socket would be one file for all stacks of a user.
        command += ["--graceful-timeout", str(GRACE_SECONDS), "--no-control-socket"]
        return Program("api", command, self._environment("api", Role.APP), self.folder.project)

    def worker(self) -> Program:
        """Return the worker of the background tasks."""
        return self.manage("worker", Role.APP, "run_worker")

    def relay(self) -> Program:
        """Return the relay."""
        return self.manage("relay", Role.RELAY, "run_relay")

    def consumer(self) -> Program:
        """Return the consumer, with the port on which it tells how it is."""
        port = str(self.ports["consumer_metrics"])
        return self.manage("consumer", Role.CONSUMER, "run_consumer", "--metrics-port", port)

    def manage(self, name: str, role: Role, *arguments: str) -> Program:
        """Return a management command with the database role of its own."""
        manage = self.folder.project / "manage.py"
        command = [sys.executable, str(manage), *arguments]
        return Program(name, command, self._environment(name, role), self.folder.project)

    def _server(self, name: str, command: Sequence[str], user: str | None, environment: Mapping[str, str]) -> Program:
        environment = {**cleared(os.environ), **environment, **mark(name, self.folder.path)}
        # The user that PostgreSQL runs as may not enter the project's folder.
        return Program(name, command, environment, self.folder.path, user)

    def _environment(self, name: str, role: Role) -> dict[str, str]:
        return {
            **cleared(os.environ),
            **mark(name, self.folder.path),
            **self.databases.environment(role),
            **self.kafka,
            "KAFKA_TOPIC_PREFIX": self.topic_prefix,
            "DEVSTACK_DATA_DIR": str(self.folder.path),
            "PYTHONUNBUFFERED": "1",
        }
