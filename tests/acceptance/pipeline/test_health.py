"""What an orchestrator learns of the loops: alive while they wait for servers, not alive when they hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from auditlog.roles import Role
from devstack import ports
from tests.acceptance.pipeline.services import CONSUMER, RELAY, Deployment
from tests.trees import ROOT

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

LOOPS = [("relay", RELAY), ("consumer", CONSUMER)]
LONG_AGO_SECONDS = 10_000


def is_healthy(loop: str, folder: Path) -> bool:
    command = [sys.executable, "manage.py", "healthcheck", f"--{loop}"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings.local", "HEARTBEAT_DIR": str(folder)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("loop", "roles"), LOOPS)
def test_a_loop_is_alive_without_its_servers_and_not_when_it_hangs(
    deployment: Deployment, tmp_path: Path, loop: str, roles: tuple[Role, Role]
) -> None:
    beat = tmp_path / "beats" / f"auditlog-{loop}.heartbeat"

    def make_old() -> float:
        then = time.time() - LONG_AGO_SECONDS
        os.utime(beat, (then, then))
        return then + 1

    nobody = f"127.0.0.1:{ports.free_port()}"
    environment = {"KAFKA_BOOTSTRAP_SERVERS": nobody, "HEARTBEAT_DIR": str(beat.parent)}
    process = deployment.start(loop, f"run_{loop}", roles=roles, **environment)
    deployment.wait_until(process.waits, what="a loop that waits for Kafka")
    old = make_old()
    deployment.wait_until(lambda: beat.stat().st_mtime > old, what="a beat while it waits")
    assert is_healthy(loop, beat.parent)

    process.send(signal.SIGSTOP)
    stopped = psutil.Process(process.pid)
    deployment.wait_until(lambda: stopped.status() == psutil.STATUS_STOPPED, what="a loop that hangs")
    make_old()
    assert not is_healthy(loop, beat.parent)
    process.send(signal.SIGCONT)
    deployment.wait_until(lambda: beat.stat().st_mtime > old, what="a beat after it hung")

    assert process.terminate() == 0
    assert not beat.exists()
    assert not is_healthy(loop, beat.parent)
