"""Ends long work between two batches when a signal asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stop(threading.Event):
    """Set by the first signal; remembers which."""

    number: int = signal.SIGTERM


@contextmanager
def stop_at_signals(*, second_ends: bool = True) -> Iterator[Stop]:
    """
    Set the event at the first SIGINT or SIGTERM.

    A second one has its usual effect, at once, unless `second_ends` is false: what drains must not be cut short by an
    impatient supervisor. Outside the main thread, which alone may handle signals, nothing sets the event.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, _frame: object) -> None:
        stop.number = number
        stop.set()
        if second_ends:
            signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
