"""Relays as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 60
ROOT = Path(__file__).resolve().parents[3]


class RelayProcess:
    """A `run_relay`; what it says goes to a file."""

    def __init__(self, *, log: Path, variables: dict[str, str], arguments: tuple[str, ...]) -> None:
        self._log = log
        command = [sys.executable, "manage.py", "run_relay", *arguments]
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings.local", "LOG_FORMAT": "json", **variables}
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._process.pid

    def text(self) -> str:
        """Return what it said."""
        return self._log.read_text(encoding="utf-8")

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what it logged under this name."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def terminate_by_itself(self) -> int:
        """Wait for its end and return its exit code."""
        return self._process.wait(DEADLINE_SECONDS)

    def terminate(self) -> int:
        """Ask it to end and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DEADLINE_SECONDS)


@contextmanager
def relay_process(log: Path, variables: dict[str, str], *arguments: str) -> Iterator[RelayProcess]:
    """Run a relay for the length of a block."""
    process = RelayProcess(log=log, variables=variables, arguments=arguments)
    try:
        yield process
    finally:
        process.kill()
