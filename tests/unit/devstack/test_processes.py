"""Children, orphans, and how they end."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from devstack import processes
from devstack.errors import DevstackError
from devstack.processes import Child, Program, end
from devstack.state import Identity
from devstack.stream import Stream
from tests.conftest import WaitUntil

KIND = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 30.0))
IMPATIENT = ((signal.SIGTERM, 0.1), (signal.SIGKILL, 30.0))
WAITING = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(60)"
DEAF_FOR_EVER = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITING}"


class Started:
    """Children of a test, with what they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = io.StringIO()
        self.cleanup = ExitStack()

    def child(self, code: str, *, name: str = "api") -> Child:
        """Run Python code as a marked child."""
        environment = {**os.environ, **processes.mark(name, self.folder)}
        program = Program(name, [sys.executable, "-c", code], environment, self.folder)
        child = Child(program, stream=Stream(self.output, colour=False))
        self.cleanup.callback(end, child, ((signal.SIGKILL, 30.0),))
        return child

    def said(self, text: str) -> bool:
        """Tell whether one of them said this."""
        return text in self.output.getvalue()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Children that are ended after the test."""
    result = Started(tmp_path)
    with result.cleanup:
        yield result


def test_what_a_child_says_goes_to_the_stream_to_the_last_word(started: Started) -> None:
    child = started.child("import sys; print('out', flush=True); print('err', file=sys.stderr); print('end', end='')")
    assert end(child, ((signal.SIGCONT, 30.0),))
    child.bury()
    assert child.code == 0
    assert sorted(started.output.getvalue().splitlines()) == ["api      | end", "api      | err", "api      | out"]


def test_a_child_that_can_be_asked_ends_by_the_first_signal(started: Started, wait_until: WaitUntil) -> None:
    child = started.child(WAITING)
    wait_until(lambda: started.said("ready"))
    assert end(child, KIND)
    assert child.code == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed(started: Started, wait_until: WaitUntil) -> None:
    child = started.child(DEAF_FOR_EVER)
    wait_until(lambda: started.said("ready"))
    assert end(child, IMPATIENT)
    assert child.code == -signal.SIGKILL


def test_who_is_in_a_hurry_does_not_wait_for_the_first_signal(started: Started, wait_until: WaitUntil) -> None:
    child = started.child(DEAF_FOR_EVER)
    wait_until(lambda: started.said("ready"))
    assert end(child, ((signal.SIGTERM, float("inf")), (signal.SIGKILL, 30.0)), hurry=lambda: True)
    assert child.code == -signal.SIGKILL


def test_a_buried_child_leaves_nothing_in_its_session(started: Started, wait_until: WaitUntil) -> None:
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {WAITING!r}]).pid, flush=True)"
    child = started.child(code)
    wait_until(lambda: child.has_ended() and started.said("ready"))
    left = psutil.Process(int(started.output.getvalue().splitlines()[0].partition("| ")[2]))
    assert left.is_running()
    child.bury()
    wait_until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    program = Program("kafka", [str(tmp_path / "java")], {}, tmp_path)
    with pytest.raises(DevstackError, match="kafka cannot be started"):
        Child(program, stream=Stream(io.StringIO(), colour=False))


def test_a_child_is_found_again_by_its_mark_alone(started: Started, tmp_path: Path, wait_until: WaitUntil) -> None:
    started.child(WAITING, name="relay")
    started.child(WAITING, name="postgres")
    started.child(WAITING, name="api")
    wait_until(lambda: len(processes.orphans({}, tmp_path)) == 3)
    assert [orphan.name for orphan in processes.orphans({}, tmp_path)] == ["api", "relay", "postgres"]
    assert processes.orphans({}, tmp_path / "other") == []


def test_an_orphan_is_ended_though_nobody_reaps_it(started: Started, tmp_path: Path, wait_until: WaitUntil) -> None:
    child = started.child(WAITING)
    wait_until(lambda: started.said("ready"))
    [orphan] = processes.orphans({"api": child.identity}, tmp_path)
    # The test has not waited for the child: it is a zombie now.
    assert end(orphan, KIND)
    assert orphan.has_ended()
    assert processes.orphans({"api": child.identity}, tmp_path) == []


def test_a_process_that_got_the_id_of_an_earlier_one_is_not_ours(started: Started, tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    earlier = Identity(stranger.pid, psutil.Process(stranger.pid).create_time() - 100)
    assert processes.alive(earlier) is None
    assert processes.orphans({"relay": earlier}, tmp_path) == []
    stranger.communicate(b"\n")


def test_a_stale_postmaster_file_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path / 'postgres'}\n")
    assert processes.orphans({}, tmp_path) == []


def test_steps_of_a_start_end_before_what_they_use(started: Started, tmp_path: Path, wait_until: WaitUntil) -> None:
    started.child(WAITING, name="postgres")
    started.child(WAITING, name="migrate")
    wait_until(lambda: len(processes.orphans({}, tmp_path)) == 2)
    assert [orphan.name for orphan in processes.orphans({}, tmp_path)] == ["migrate", "postgres"]
