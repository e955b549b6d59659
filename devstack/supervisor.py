"""
Keeps processes alive until a signal, then ends them in order.

One thread: whoever waits for something lets the supervisor look after its processes meanwhile.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Generic, TypeVar

from devstack.backoff import Backoff
from devstack.errors import DevstackError, Stopped
from devstack.processes import ENDING, STOP_ORDER, Child, Program, end
from devstack.state import Identity
from devstack.stream import Stream

T = TypeVar("T")

TICK_SECONDS = 0.1
REMINDER_SECONDS = 5.0
# A process that was never well and died this often will not be.
EARLY_DEATHS = 3
# For what runs in the background when everything is to end.
BACKGROUND_SECONDS = 5.0


class Service:
    """One process that is started again whenever it dies."""

    def __init__(self, program: Program, stream: Stream) -> None:
        self.program = program
        self.child = Child(program, stream=stream)
        self._stream = stream
        self._backoff = Backoff()
        self._start_at: float | None = None

    @property
    def early_deaths(self) -> int:
        """How often it died without having lived long."""
        return self._backoff.deaths

    def look_after(self) -> bool:
        """Notice a death, start again when it is time; return whether there is a new process."""
        if self._start_at is not None:
            if time.monotonic() < self._start_at:
                return False
            self.child, self._start_at = Child(self.program, stream=self._stream), None
            return True
        if self.child.has_ended():
            self.child.bury()
            wait = self._backoff.after(lived_seconds=self.child.lived_seconds)
            self._start_at = time.monotonic() + wait
            self._stream.say(f"{self.program.name} {_fate(self.child.code)}; starting it again in {wait:g} s")
        return False

    def stop(self, *, hurry: Callable[[], bool]) -> None:
        """End the process, and what it left behind."""
        if self._start_at is not None:
            return  # buried already
        if not self.child.has_ended():
            self._stream.say(f"stopping {self.program.name}")
        end(self.child, self.program.ending, hurry=hurry)
        self.child.bury()


class Supervisor:
    """The processes of the stack and the signals that end it."""

    def __init__(self, *, stream: Stream, record: Callable[[dict[str, Identity]], None]) -> None:
        """`record` is called with the identities of all processes each time one is new."""
        self.stream = stream
        self.services: dict[str, Service] = {}
        self._record = record
        self._signals = 0
        self._threads: list[threading.Thread] = []

    def obey_signals(self) -> None:
        """Stop at Ctrl-C, SIGTERM and when the terminal goes away."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def start(self, program: Program) -> None:
        """Start a process and keep it alive."""
        self.services[program.name] = Service(program, self.stream)
        self._record_all()

    def run(self) -> None:
        """Look after the processes until a signal."""
        while not self._signals:
            self._tick()

    def wait_for(self, condition: Callable[[], T], *, what: str, seconds: float, of: str = "") -> T:
        """
        Wait until `condition` gives something true, and return it; `of` names the service that it depends on.

        :raises Stopped: at a signal.
        :raises DevstackError: if it takes longer than `seconds`, or the service dies again and again.
        """
        began = said_at = time.monotonic()
        while not (found := condition()):
            self._tick()
            if self._signals:
                raise Stopped
            now = time.monotonic()
            if of and self.services[of].early_deaths >= EARLY_DEATHS:
                raise DevstackError(f"{of} ends as soon as it is started; it said why above.")
            if now - began > seconds:
                raise DevstackError(f"Waited {seconds:g} s for {what} in vain; see what was said above.")
            if now - said_at > REMINDER_SECONDS:
                said_at = now
                self.stream.say(f"waiting for {what} …")
        return found

    def in_background(self, work: Callable[[Callable[[str], None]], T]) -> Background[T]:
        """Start `work`, which blocks, with a function that tells of its progress and ends it after a signal."""
        background = Background(work, self._progress)
        self._threads.append(background.thread)
        return background

    def step(self, program: Program) -> None:
        """
        Run a program to its end.

        :raises Stopped: at a signal, after the program has ended.
        :raises DevstackError: if it fails.
        """
        self._run_to_end(Child(program, stream=self.stream))

    def step_with_result(self, program: Program) -> str:
        """Run a program to its end and return its standard output, which the stream does not show."""
        with tempfile.TemporaryFile() as output:
            self._run_to_end(Child(program, stream=self.stream, output=output))
            output.seek(0)
            return output.read().decode()

    def stop(self) -> None:
        """End all processes, those first that depend on others; a second signal makes it quick."""
        for thread in self._threads:
            thread.join(BACKGROUND_SECONDS)
        for name in STOP_ORDER:
            if (service := self.services.get(name)) is None:
                continue
            service.stop(hurry=lambda: self._signals > 1)

    def _run_to_end(self, child: Child) -> None:
        try:
            self.wait_for(child.has_ended, what=child.program.name, seconds=float("inf"))
        finally:
            end(child, ENDING, hurry=lambda: self._signals > 1)
            child.bury()
        if child.code:
            raise DevstackError(f"The step `{child.program.name}` {_fate(child.code)}; it said why above.")

    def _tick(self) -> None:
        time.sleep(TICK_SECONDS)
        renewed = [name for name, service in self.services.items() if service.look_after()]
        if renewed:
            self._record_all()

    def _record_all(self) -> None:
        self._record({name: service.child.identity for name, service in self.services.items()})

    def _progress(self, text: str) -> None:
        if self._signals:
            raise Stopped
        self.stream.say(text)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Nothing but counting: a lock that the interrupted code holds would never come free.
        self._signals += 1


class Background(Generic[T]):
    """Work in a thread, which does not keep the process from ending."""

    def __init__(self, work: Callable[[Callable[[str], None]], T], progress: Callable[[str], None]) -> None:
        self._work, self._progress = work, progress
        self._result: list[T] = []
        self._error: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def done(self) -> bool:
        """Tell whether it has ended; raises what it raised."""
        if self._error is not None:
            raise self._error
        return not self.thread.is_alive()

    @property
    def result(self) -> T:
        """What it returned."""
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work(self._progress))
        except Exception as exc:  # noqa: BLE001 - raised again by whoever waits
            self._error = exc


def _fate(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
