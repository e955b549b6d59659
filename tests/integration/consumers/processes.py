"""Consumers as processes of their own, and waiting for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from auditlog.roles import Role

DEADLINE_SECONDS = 60
ROOT = Path(__file__).resolve().parents[3]


def database_url(role: Role) -> str:
    """Return the address of the test database for a role."""
    config = connections["default"].settings_dict
    password = f":{config['PASSWORD']}" if config["PASSWORD"] else ""
    return f"postgres://{role.value}{password}@{config['HOST']}:{config['PORT']}/{config['NAME']}"


def environment(*, prefix: str, **more: str) -> dict[str, str]:
    """Return the environment of a consumer of the topics with this prefix."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings.local",
        "DATABASE_URL": database_url(Role.CONSUMER),
        "AUDIT_DATABASE_URL": database_url(Role.CONSUMER),
        "KAFKA_BOOTSTRAP_SERVERS": settings.KAFKA_CONNECTION["bootstrap.servers"],
        "KAFKA_TOPIC_PREFIX": prefix,
        # Group names are the broker's: those of other tests must not be met.
        "KAFKA_CONSUMER_GROUP": prefix,
        "LOG_FORMAT": "json",
        **more,
    }


class ConsumerProcess:
    """A `run_consumer`, or another command; what it says goes to a file."""

    def __init__(self, *, log: Path, variables: dict[str, str], command: Sequence[str] = ("run_consumer",)) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", *command], cwd=ROOT, env=variables, stdout=output, stderr=output
            )

    def says(self, event: str) -> bool:
        """Tell whether it logged an event of this name."""
        return f'"{event}"' in self._log.read_text(encoding="utf-8")

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Ask it to end and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DEADLINE_SECONDS)

    def is_running(self) -> bool:
        """Tell whether it still runs."""
        return self._process.poll() is None

    def text(self) -> str:
        """Return what it said."""
        return self._log.read_text(encoding="utf-8")


@contextmanager
def consumer(
    log: Path, variables: dict[str, str], *, command: Sequence[str] = ("run_consumer",)
) -> Iterator[ConsumerProcess]:
    """Run a consumer, or another command, for the length of a block."""
    process = ConsumerProcess(log=log, variables=variables, command=command)
    try:
        yield process
    finally:
        process.kill()


def wait_until(happened: Callable[[], Any], *, of: ConsumerProcess | None = None) -> None:
    """Wait for a condition; fail with the consumer's words where it takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        said = of.text()[-3_000:] if of is not None else ""
        assert time.monotonic() < deadline, f"It did not happen in time. {said}"
        time.sleep(0.02)
