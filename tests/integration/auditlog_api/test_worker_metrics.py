"""With several workers, whichever is asked answers for all, also for those that have ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from devstack import ports
from tests.conftest import WaitUntil

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

PROJECT = Path(__file__).parents[3]
REQUESTS = 40
COUNT = re.compile(
    r'^auditlog_api_request_seconds_count\{area="domain",method="GET",status="4xx"\} (\S+)$', re.MULTILINE
)


class Server:
    """gunicorn with two workers."""

    def __init__(self, folder: Path, *, own_port: bool) -> None:
        self.port, own = ports.free_port(), ports.free_port()
        self.metrics_port = own if own_port else self.port
        variables = {
            "DJANGO_SETTINGS_MODULE": "settings.test",
            "API_BIND": f"127.0.0.1:{self.port}",
            "API_WORKERS": "2",
            "API_METRICS_PORT": str(own if own_port else 0),
            "TMPDIR": str(folder),
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:settings.server", "settings.wsgi"]
        self.process = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, **variables})

    def workers(self) -> list[psutil.Process]:
        """Return its worker processes."""
        return psutil.Process(self.process.pid).children()

    def ask(self, path: str, *, port: int | None = None) -> str | None:
        """Return what an address answers; None where nobody does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=30) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as exc:
            return exc.read().decode()
        except OSError:
            return None

    def counted(self) -> float:
        """Return how many requests the metrics know of."""
        found = COUNT.search(self.ask("/metrics", port=self.metrics_port) or "")
        return float(found[1]) if found else 0


@pytest.fixture
def start(transactional_db: None, tmp_path: Path, wait_until: WaitUntil) -> Iterator[Callable[[bool], Server]]:
    """Start a server, with a port for its metrics or without; ended after the test."""
    started: list[Server] = []

    def run(own_port: bool) -> Server:
        server = Server(tmp_path, own_port=own_port)
        started.append(server)
        wait_until(lambda: len(server.workers()) == 2 and server.ask("/metrics", port=server.metrics_port))
        return server

    yield run
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("own_port", [False, True])
def test_every_answer_counts_the_requests_of_all_workers(
    start: Callable[[bool], Server], wait_until: WaitUntil, tmp_path: Path, own_port: bool
) -> None:
    server = start(own_port)
    for _ in range(REQUESTS):
        assert server.ask("/api/doctors/")
    assert {server.counted() for _ in range(10)} == {REQUESTS}
    first = server.workers()[0]
    (folder,) = tmp_path.glob("auditlog-metrics-*")
    doing = folder / f"gauge_livesum_{first.pid}.db"
    assert doing.exists()
    first.kill()
    wait_until(lambda: len(server.workers()) == 2 and first.pid not in {worker.pid for worker in server.workers()})
    wait_until(lambda: server.counted() == REQUESTS)
    # What it had counted stays; what it was doing does not.
    wait_until(lambda: not doing.exists())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert [path for path in tmp_path.iterdir() if path.name.startswith("auditlog-metrics-")] == []
