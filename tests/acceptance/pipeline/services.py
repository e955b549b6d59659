"""The service's processes as an operator runs them, each with its own database role."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from auditlog.roles import Role
from tests.trees import ROOT, python_of

# Machines that run tests may be busy.
DEADLINE_SECONDS = 120
POLL_SECONDS = 0.05
LAST_WORDS_CHARACTERS = 3_000
# Role of the domain's database and role of the read model's.
RELAY = (Role.RELAY, Role.RELAY)
CONSUMER = (Role.CONSUMER, Role.CONSUMER)
APPLICATION = (Role.APP, Role.READER)
AUDITOR = (Role.READER, Role.READER)
OWNER = (Role.OWNER, Role.OWNER)
SHORT_TIMES = {
    # Shards of a relay that was killed are free again this soon.
    "RELAY_LEASE_SECONDS": "3",
    "KAFKA_TOPIC_PARTITIONS": "3",
}


class Service:
    """A process of the service; what it prints goes to one file, what it logs to another."""

    def __init__(self, command: list[str], *, root: Path, variables: dict[str, str], files: Path) -> None:
        self.name = files.name
        self._output, self._log = files.with_suffix(".out"), files.with_suffix(".log")
        with self._output.open("ab") as output, self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=root, env=variables, stdout=output, stderr=log)
        self._ended_by_us = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        """Return how it ended; None while it runs."""
        return self._process.poll()

    def has_failed(self) -> bool:
        """Tell whether it ended by itself and without success."""
        return not self._ended_by_us and self._process.poll() not in {None, 0}

    def kill(self) -> None:
        """End it without a chance to tidy up; safe to repeat."""
        self.may_end()
        self._process.kill()
        self._process.wait()

    def may_end(self) -> None:
        """Expect it to end in whatever way: its end is no failure."""
        self._ended_by_us = True

    def terminate(self) -> int:
        """Ask it to end, as an orchestrator does, and return its exit code."""
        self.may_end()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DEADLINE_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def printed(self) -> str:
        """Return what it printed on its standard output."""
        return self._output.read_text(encoding="utf-8")

    def logged(self) -> str:
        """Return what it wrote on its standard error."""
        return self._log.read_text(encoding="utf-8")

    def events(self) -> list[dict[str, Any]]:
        """Return the structured lines of its log."""
        return [json.loads(line) for line in self.logged().splitlines() if line.startswith("{") and line.endswith("}")]

    def complains(self) -> bool:
        """Tell whether it has warned of anything."""
        return any(line["level"] == "warning" for line in self.events())

    def waits(self) -> list[dict[str, Any]]:
        """Return the lines that say that it waits for something."""
        return [line for line in self.events() if line["level"] == "warning" and "waiting" in line["event"]]


class Deployment:
    """The service on one database and one topic prefix: starts its processes, and ends what still runs on `close`."""

    def __init__(
        self, *, address: Callable[[str], str], bootstrap: str, prefix: str, folder: Path, root: Path = ROOT
    ) -> None:
        """`address` returns the database's URL for a role; `root` is where the code is."""
        self.address, self.bootstrap, self.prefix, self.folder = address, bootstrap, prefix, folder
        self.settings = "settings.local"
        self.root = root
        self._services: list[Service] = []

    @property
    def count(self) -> int:
        """How many processes were started: the number of the next one."""
        return len(self._services)

    def start(self, name: str, *arguments: str, roles: tuple[Role, Role], **more: str) -> Service:
        """Start `manage.py` with these arguments, the roles' rights, and more environment variables."""
        return self.start_program([python_of(self.root), "manage.py", *arguments], name=name, roles=roles, **more)

    def start_program(self, command: list[str], *, name: str, roles: tuple[Role, Role], **more: str) -> Service:
        """Start a program where the code is with the settings of this deployment."""
        variables = {**self._variables(*roles), **more}
        files = self.folder / f"{len(self._services)}-{name}"
        service = Service(command, root=self.root, variables=variables, files=files)
        self._services.append(service)
        return service

    def start_relay(self) -> Service:
        """Start a relay."""
        return self.start("relay", "run_relay", roles=RELAY)

    def start_consumer(self, **more: str) -> Service:
        """Start a consumer."""
        return self.start("consumer", "run_consumer", roles=CONSUMER, **more)

    def start_import(self, file: Path, *options: str) -> Service:
        """Start an import of a file."""
        return self.start("import", "import_clinicians", str(file), "--json", *options, roles=APPLICATION)

    def run(self, name: str, *arguments: str, roles: tuple[Role, Role], **more: str) -> str:
        """Run a command to its end and return what it printed; anything but success fails the test."""
        service = self.start(name, *arguments, roles=roles, **more)
        self.wait_until(lambda: not service.is_running(), what=f"the end of {name}")
        assert service.terminate() == 0, f"{name} failed: {self._last_words()}"
        return service.printed()

    def finished(self, importing: Service) -> dict[str, Any]:
        """Wait for the end of an import, which must succeed, and return its report."""
        self.wait_until(lambda: not importing.is_running(), what="the end of the import")
        assert importing.terminate() == 0, self._last_words()
        report: dict[str, Any] = json.loads(importing.printed())
        return report

    def wait_until(self, condition: Callable[[], Any], *, what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait for a condition; fail with everybody's last words where it takes too long or a process fails."""
        deadline = time.monotonic() + seconds
        while not condition():
            failed = [service.name for service in self._services if service.has_failed()]
            assert not failed, f"{failed} failed while {what} was waited for.{self._last_words()}"
            assert time.monotonic() < deadline, f"Waited {seconds:.0f} s in vain for {what}.{self._last_words()}"
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End every process that still runs."""
        for service in self._services:
            service.kill()

    def _variables(self, role: Role, audit_role: Role) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": self.settings,
            "DATABASE_URL": self.address(role),
            "AUDIT_DATABASE_URL": self.address(audit_role),
            "DATABASE_OWNER_URL": self.address(Role.OWNER),
            "AUDIT_DATABASE_OWNER_URL": self.address(Role.OWNER),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_TOPIC_PREFIX": self.prefix,
            # Group names are the broker's: those of other tests must not be met.
            "KAFKA_CONSUMER_GROUP": self.prefix,
            "LOG_FORMAT": "json",
            **SHORT_TIMES,
        }

    def _last_words(self) -> str:
        words = [f"\n--- {service.name}\n{service.logged()[-LAST_WORDS_CHARACTERS:]}" for service in self._services]
        return "".join(words)
