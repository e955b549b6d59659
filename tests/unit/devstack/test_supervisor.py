"""The supervisor: waiting, steps, restarts, signals."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.errors import DevstackError, Stopped
from devstack.processes import Program
from devstack.state import Identity
from devstack.stream import Stream
from devstack.supervisor import Supervisor

WAITING = "import time\nwhile True: time.sleep(60)"


class Stack:
    """A supervisor with what it says and records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = io.StringIO()
        self.recorded: list[dict[str, Identity]] = []
        self.supervisor = Supervisor(stream=Stream(self.output, colour=False), record=self.recorded.append)

    def program(self, name: str, code: str) -> Program:
        """Return Python code as a program."""
        return Program(name, [sys.executable, "-c", code], os.environ, self.folder)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A supervisor whose processes are ended after the test, and whose signal handlers are taken away."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    result = Stack(tmp_path)
    yield result
    result.supervisor.stop()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_process_that_dies_gets_a_successor_that_is_recorded(stack: Stack) -> None:
    stack.supervisor.start(stack.program("relay", WAITING))
    os.kill(stack.recorded[0]["relay"].pid, signal.SIGKILL)
    stack.supervisor.wait_for(lambda: len(stack.recorded) == 2, what="a successor", seconds=30)
    assert stack.recorded[1]["relay"] != stack.recorded[0]["relay"]
    assert "relay was ended by SIGKILL; starting it again in 0.5 s" in stack.output.getvalue()


def test_waiting_for_a_process_that_always_dies_is_given_up(stack: Stack) -> None:
    stack.supervisor.start(stack.program("kafka", "print('no heap'); raise SystemExit(3)"))
    with pytest.raises(DevstackError, match="kafka ends as soon as it is started"):
        stack.supervisor.wait_for(lambda: False, what="Kafka", seconds=60, of="kafka")
    said = stack.output.getvalue()
    assert "kafka    | no heap" in said
    assert "kafka ended with exit code 3" in said


def test_waiting_in_vain_says_for_what(stack: Stack) -> None:
    with pytest.raises(DevstackError, match="for the moon in vain"):
        stack.supervisor.wait_for(lambda: False, what="the moon", seconds=0.1)


def test_a_step_that_fails_is_named(stack: Stack) -> None:
    with pytest.raises(DevstackError, match="The step `migrate` ended with exit code 2"):
        stack.supervisor.step(stack.program("migrate", "raise SystemExit(2)"))


def test_the_result_of_a_step_is_not_shown(stack: Stack) -> None:
    code = "import sys; print('password'); print('600 rows', file=sys.stderr)"
    assert stack.supervisor.step_with_result(stack.program("demo", code)) == "password\n"
    assert stack.output.getvalue() == "demo     | 600 rows\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_waiting_and_the_step_under_way(stack: Stack, number: signal.Signals) -> None:
    stack.supervisor.obey_signals()
    code = f"import os\nos.kill({os.getpid()}, {int(number)})\n{WAITING}"
    with pytest.raises(Stopped):
        stack.supervisor.step(stack.program("migrate", code))


def test_processes_are_stopped_in_order_and_not_started_again(stack: Stack) -> None:
    for name in ("postgres", "kafka", "api", "worker", "relay", "consumer"):
        stack.supervisor.start(stack.program(name, WAITING))
    stack.supervisor.stop()
    said = [line for line in stack.output.getvalue().splitlines() if line.startswith("stack")]
    order = ("api", "worker", "relay", "consumer", "kafka", "postgres")
    assert said == [f"stack    | stopping {name}" for name in order]


def test_what_fails_in_the_background_is_raised_where_it_is_awaited(stack: Stack) -> None:
    def work(_progress: object) -> list[str]:
        raise DevstackError("no network")

    background = stack.supervisor.in_background(work)
    with pytest.raises(DevstackError, match="no network"):
        stack.supervisor.wait_for(background.done, what="jars", seconds=30)


def test_a_second_signal_kills_what_does_not_listen(stack: Stack) -> None:
    stack.supervisor.obey_signals()
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n{WAITING}"
    stack.supervisor.start(stack.program("api", deaf))
    stack.supervisor.wait_for(lambda: "ready" in stack.output.getvalue(), what="api", seconds=30)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    stack.supervisor.run()
    stack.supervisor.stop()
    assert stack.supervisor.services["api"].child.code == -signal.SIGKILL
