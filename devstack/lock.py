"""One command at a time works on a data directory; the kernel frees the lock of a process that was killed."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.errors import AlreadyRunning

POLL_SECONDS = 0.1


@contextmanager
def held(path: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """
    Hold the lock for the length of a block.

    :raises AlreadyRunning: if another process still holds it after `wait_seconds`.
    """
    with path.open("ab") as file:
        deadline = time.monotonic() + wait_seconds
        while not _locked(file.fileno()):
            if time.monotonic() >= deadline:
                raise AlreadyRunning
            time.sleep(POLL_SECONDS)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
