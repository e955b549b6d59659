"""
Child processes of the supervisor, those that a killed supervisor left behind, and how either is ended.

Every child gets a session of its own, so that the terminal's Ctrl-C does not reach it, and a mark in its environment,
by which it is found again whatever became of the state file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import psutil

from devstack.errors import DevstackError
from devstack.postgres import running_as
from devstack.state import Identity
from devstack.stream import Lines, Stream

MARK = "DEVSTACK_PROCESS"
POLL_SECONDS = 0.05
LAST_WORDS_SECONDS = 2.0
# The kernel counts a process's start in ticks from the boot, whose time may be corrected by a little.
SAME_START_SECONDS = 2.0

# Signals with the seconds that each is given to work, the kindest first.
Ending = tuple[tuple[signal.Signals, float], ...]
ENDING: Ending = ((signal.SIGTERM, 40.0), (signal.SIGKILL, 10.0))
# Fast shutdown: open sessions are ended, everything committed stays. Immediate: the next start recovers.
POSTGRES_ENDING: Ending = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
# What depends on others ends before them; the steps of a start have no place here and end first of all.
STOP_ORDER = ("api", "worker", "relay", "consumer", "kafka", "postgres")


@dataclass(frozen=True, slots=True)
class Program:
    """What to run under a name; `environment` is the whole of it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    user: str | None = None  # None: our own

    @property
    def ending(self) -> Ending:
        """Return how to end it."""
        return ending_of(self.name)


class Endable(Protocol):
    """A process that can be signalled and watched."""

    def has_ended(self) -> bool:
        """Tell whether it has ended."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it has ended."""


class Child:
    """A process that was started here; what it says goes to the stream."""

    def __init__(self, program: Program, *, stream: Stream, output: IO[bytes] | None = None) -> None:
        """`output` takes its standard output instead of the stream."""
        self.program = program
        self.started_at = time.monotonic()
        try:
            self._process = subprocess.Popen(
                program.command,
                bufsize=0,
                cwd=program.directory,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output or subprocess.PIPE,
                stderr=subprocess.PIPE if output else subprocess.STDOUT,
                start_new_session=True,
                **running_as(program.user),
            )
        except OSError as exc:
            raise DevstackError(f"{program.name} cannot be started: {exc}") from exc
        self.identity = Identity(self._process.pid, psutil.Process(self._process.pid).create_time())
        said = self._process.stderr if output else self._process.stdout
        self._reader = threading.Thread(target=_forward, args=(said, program.name, stream), daemon=True)
        self._reader.start()

    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def lived_seconds(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started_at

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone: it tells its own children what to do."""
        self._process.send_signal(number)

    def bury(self) -> None:
        """After its end: end what it left in its session, and let its last words come out."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.identity.pid, signal.SIGKILL)
        self._reader.join(LAST_WORDS_SECONDS)


class Orphan:
    """A process of an earlier supervisor."""

    def __init__(self, process: psutil.Process, name: str) -> None:
        self.name = name
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Tell whether it has ended; nobody may be there to reap it."""
        try:
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal; psutil refuses where the id belongs to another process by now."""
        with suppress(psutil.NoSuchProcess):
            self._process.send_signal(number)


def ending_of(name: str) -> Ending:
    """Return how to end a process of this name."""
    return POSTGRES_ENDING if name == "postgres" else ENDING


def end(process: Endable, ending: Ending, *, hurry: Callable[[], bool] = lambda: False) -> bool:
    """Ask, then insist, until it has ended; `hurry` skips the kindest way. Return whether it has ended."""
    for position, (number, seconds) in enumerate(ending):
        if process.has_ended():
            return True
        process.send(number)
        deadline = time.monotonic() + seconds
        while not process.has_ended() and time.monotonic() < deadline:
            if position == 0 and hurry():
                break
            time.sleep(POLL_SECONDS)
    return process.has_ended()


def alive(identity: Identity) -> psutil.Process | None:
    """Return the process of an identity; None where it has ended, also if its id is used by another one."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.started) < SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def mark(name: str, folder: Path) -> dict[str, str]:
    """Return the variable by which a child of the stack in `folder` is known."""
    return {MARK: f"{name}@{folder}"}


def orphans(known: Mapping[str, Identity], folder: Path) -> list[Orphan]:
    """Return what still runs of an earlier stack in `folder`, in the order in which to end it."""
    found = {process.pid: Orphan(process, name) for process, name in _marked(folder)}
    for name, identity in known.items():
        if process := alive(identity):
            found[identity.pid] = Orphan(process, name)
    if postmaster := _postmaster(folder / "postgres"):
        found[postmaster.pid] = Orphan(postmaster, "postgres")
    # What is not in the order gets -1 and comes first.
    places = {name: place for place, name in enumerate(STOP_ORDER)}
    return sorted(found.values(), key=lambda orphan: (places.get(orphan.name, -1), orphan.pid))


def _marked(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            name, _, owner = process.environ().get(MARK, "").partition("@")
            if owner == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                yield process, name


def _postmaster(directory: Path) -> psutil.Process | None:
    """Return the server that runs on a data directory, by the file that it keeps there."""
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((directory / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0]))
        if str(directory) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _forward(said: IO[bytes] | None, name: str, stream: Stream) -> None:
    if said is None:
        return
    lines = Lines()
    with said:
        while chunk := said.read(65_536):
            for line in lines.feed(chunk):
                stream.line(name, line)
    for line in lines.end():
        stream.line(name, line)
