"""One command at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devstack import lock
from devstack.errors import AlreadyRunning

HOLDER = """
import sys, time
from pathlib import Path
from devstack import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[str]:
    """Let another process hold the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_another_process_holds_is_refused_until_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_elsewhere(path) as holder:
        with pytest.raises(AlreadyRunning), lock.held(path):
            pass
        holder.kill()
    with lock.held(path):
        assert path.exists()


def test_a_lock_is_free_after_its_block(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.held(path):
        pass
    with lock.held(path):
        assert path.exists()


def test_waiting_gets_the_lock_when_the_holder_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold_elsewhere(path) as holder:
        holder.kill()
        with lock.held(path, wait_seconds=30):
            assert path.exists()


def test_a_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.held(path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with lock.held(path):
        assert child.poll() is None
    child.communicate(b"\n")
