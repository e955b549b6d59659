"""
Lets requests wait for what is not stored yet: a bounded number in each process, and none once the process shall end.

A request that waits keeps a thread of the web server. Without a bound, waiting requests would be all that it does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings

from auditlog import metrics

DEFAULT_WAITS = 4
# Between two looks; each is a statement on a table of some hundred rows.
LOOK_SECONDS = 0.5

_lock = threading.Lock()
_waiting = 0


def _never() -> bool:
    return False


_is_ending: Callable[[], bool] = _never


def end_when(is_ending: Callable[[], bool]) -> None:
    """Let nobody wait any longer once this is true; the web server's worker says so."""
    global _is_ending  # noqa: PLW0603 - one for the process
    _is_ending = is_ending


@contextmanager
def looks(seconds: float) -> Iterator[Iterator[None]]:
    """
    Return an iterator that waits between its steps, and ends after so many seconds or when the process shall end.

    It is empty where as many as may are waiting already.
    """
    admitted = seconds > 0 and _admit(+1)
    try:
        yield _steps(time.monotonic() + seconds) if admitted else iter(())
    finally:
        if admitted:
            _admit(-1)


def _admit(count: int) -> bool:
    global _waiting  # noqa: PLW0603 - one for the process
    with _lock:
        if count > 0 and _waiting >= int(getattr(settings, "AUDITLOG_FEED_WAITS", DEFAULT_WAITS)):
            metrics.FEED_WAITS_REFUSED.inc()
            return False
        _waiting += count
        metrics.FEED_WAITING.set(_waiting)
        return True


def _steps(deadline: float) -> Iterator[None]:
    nothing = threading.Event()
    while (left := deadline - time.monotonic()) > 0 and not _is_ending():
        nothing.wait(min(LOOK_SECONDS, left))
        yield
