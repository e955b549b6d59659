"""Tells an orchestrator that a run loop still goes round: a file of its own for each loop, touched by the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from prometheus_client import Gauge

# A loop may go round thousands of times a second.
RENEWED_SECONDS = 1.0


class RunLoop(StrEnum):
    """The processes that have a heartbeat."""

    RELAY = "relay"
    CONSUMER = "consumer"
    RECONCILER = "reconciler"

    @property
    def max_age_seconds(self) -> float:
        """
        The age after which a heartbeat says that the loop hangs.

        The relay waits for a server for some seconds at a time. The consumer may work on one batch for as long as its
        group lets it: `max.poll.interval.ms`, 600 seconds. The reconciler compares an hour of events at a time.
        """
        return {RunLoop.RELAY: 60.0, RunLoop.CONSUMER: 660.0, RunLoop.RECONCILER: 660.0}[self]


class Heartbeat:
    """The heartbeat of one loop: a gauge, and a file where there is a folder for it."""

    def __init__(self, *, gauge: Gauge, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._gauge, self._path, self._clock = gauge, path, clock
        self._renew_at = 0.0

    def beat(self) -> None:
        """Say that the loop goes round, whatever it waits for."""
        self._gauge.set_to_current_time()
        now = self._clock()
        if self._path is not None and now >= self._renew_at:
            self._path.touch()
            self._renew_at = now + RENEWED_SECONDS


@contextmanager
def heartbeat(loop: RunLoop, *, gauge: Gauge) -> Iterator[Heartbeat]:
    """
    Keep the heartbeat of a loop for the length of a block; at its end nothing is left that looks alive.

    :raises CommandError: if the file cannot be written.
    """
    path = path_of(loop)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as exc:
            raise CommandError(f"The heartbeat cannot be written (HEARTBEAT_DIR): {exc}") from exc
    try:
        yield Heartbeat(gauge=gauge, path=path)
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def path_of(loop: RunLoop) -> Path | None:
    """Return the file of a loop; None where HEARTBEAT_DIR is not set."""
    folder: str = getattr(settings, "HEARTBEAT_DIR", "")
    return Path(folder) / f"auditlog-{loop}.heartbeat" if folder else None
