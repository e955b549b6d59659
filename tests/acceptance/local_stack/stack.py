"""The real `manage.py devstack up` in a folder of its own, as somebody at a terminal runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from devstack import processes
from devstack import state as states
from devstack.addresses import cleared

T = TypeVar("T")

PROJECT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 120.0
POLL_SECONDS = 0.1


class LocalStack:
    """Runs the command in `folder`; it is started when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder.parent / "up.log"
        self._up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the stack unless it runs, and wait until it says that everything runs."""
        if self._up is not None and self._up.poll() is None:
            return
        with self._log.open("wb") as output:
            command = [sys.executable, str(PROJECT / "manage.py"), "devstack", "up"]
            # From another folder, with a session of its own as from another terminal.
            self._up = subprocess.Popen(
                command, cwd="/", env=self._environment(), stdout=output, stderr=output, start_new_session=True
            )
        self.wait_until(lambda: "Everything runs." in self.log())

    @property
    def supervisor(self) -> psutil.Process:
        """The process of the command."""
        assert self._up is not None
        return psutil.Process(self._up.pid)

    def log(self) -> str:
        """Return what it said."""
        return self._log.read_text(encoding="utf-8")

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command in another terminal, with nothing set but the folder."""
        command = [sys.executable, str(PROJECT / "manage.py"), *arguments]
        return subprocess.run(
            command, cwd="/", env=self._environment(), capture_output=True, text=True, check=False, timeout=120
        )

    def info(self) -> dict[str, Any]:
        """Return what `devstack info --json` says; its exit code must agree."""
        done = self.manage("devstack", "info", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["ready"] else 1), done.stderr
        return found

    def kill(self) -> None:
        """End the supervisor without a chance to tidy up."""
        assert self._up is not None
        self._up.kill()
        self._up.wait()

    def terminate(self) -> int:
        """Ask the supervisor to end and return its exit code."""
        assert self._up is not None
        self._up.send_signal(signal.SIGTERM)
        return self._up.wait(DEADLINE_SECONDS)

    def left(self) -> list[str]:
        """Return the names of the stack's processes that run."""
        return [orphan.name for orphan in processes.orphans({}, self.folder)]

    def wait_until(self, condition: Callable[[], T]) -> T:
        """Wait for a condition and return its value; fail with what the stack said."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := condition()):
            assert self._up is None or self._up.poll() is None, self.log()[-5_000:]
            assert time.monotonic() < deadline, self.log()[-5_000:]
            time.sleep(POLL_SECONDS)
        return value

    def clean(self) -> None:
        """End everything, whatever a failed test left."""
        if self._up is not None and self._up.poll() is None:
            self.terminate()
        self.manage("devstack", "down")

    def _environment(self) -> dict[str, str]:
        settings = {"DEVSTACK_DATA_DIR": str(self.folder), "DJANGO_SETTINGS_MODULE": "settings.local"}
        # What a killed relay held comes free sooner.
        settings["RELAY_LEASE_SECONDS"] = "4"
        return cleared(os.environ) | settings


def get(url: str, *, api_key: str) -> dict[str, Any]:
    """Return the JSON that the API answers with."""
    request = urllib.request.Request(url, headers={"Authorization": f"Api-Key {api_key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: dict[str, Any] = json.loads(answer.read())
    return body


def saved_state(folder: Path) -> states.State:
    """Return the content of the state file."""
    return states.load(folder / "state.json")
