"""Workers, in the test's process and as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Group

from tests.conftest import WaitUntil

PROJECT = Path(__file__).resolve().parents[4]

Notes = Callable[[], set[str]]


class WorkerProcess:
    """`manage.py run_worker` with the database of the test."""

    def __init__(self, log: Path) -> None:
        self._log = log
        command = [sys.executable, str(PROJECT / "manage.py"), "run_worker"]
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings.test", "WORKER_POLL_MILLISECONDS": "20"}
        environment["LOG_FORMAT"] = "json"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output)

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text(encoding="utf-8")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        return self._process.wait(60)

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def start_worker(
    transactional_db: None, tmp_path: Path, wait_until: WaitUntil
) -> Iterator[Callable[[], WorkerProcess]]:
    """Start `manage.py run_worker`."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        started.append(WorkerProcess(tmp_path / f"worker-{len(started)}.log"))
        wait_until(lambda: "worker.started" in started[-1].log)
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def notes(transactional_db: None) -> Notes:
    """Return what the tasks have left."""
    return lambda: set(Group.objects.values_list("name", flat=True))
