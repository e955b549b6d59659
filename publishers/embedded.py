"""
The relay in a thread of the web process, for small installations: the same loop, under the same leases.

Every worker of the web server has one; they share the shards with one another and with any `run_relay`. Commits of its
own process wake it at once, those of others by NOTIFY. Started after the fork, since neither threads nor the Kafka
client survive one.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from auditlog.signals import outbox_written
from publishers import metrics
from publishers.assembly import assembled, new_owner, parameters_of
from publishers.backoff import Backoff
from publishers.hints import Bell

log = structlog.get_logger(__name__)

# Beyond what the relay itself takes to drain.
JOIN_SECONDS = 2.0


class Embedded:
    """A relay in a thread, which is made anew where it fails."""

    def __init__(self) -> None:
        self._bell, self._stop = Bell(), threading.Event()
        self._drain_seconds = min(settings.RELAY_DRAIN_SECONDS, settings.API_GRACEFUL_SECONDS)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        """Begin to publish, and listen to the commits of this process."""
        outbox_written.connect(self._written, weak=False, dispatch_uid="publishers.embedded")
        self._thread.start()

    def stop(self) -> None:
        """Drain, give the shards back, and wait for it; what is left then waits in the outbox."""
        outbox_written.disconnect(dispatch_uid="publishers.embedded")
        self._stop.set()
        self._bell.ring()
        self._thread.join(self._drain_seconds + JOIN_SECONDS)

    def _written(self, *, using: str, **_kwargs: Any) -> None:
        if using == DEFAULT_DB_ALIAS:
            self._bell.ring()

    def _run(self) -> None:
        trouble = Backoff(1.0, 60.0)
        while not self._stop.is_set():
            owner = new_owner()
            log.info("relay.started", owner=owner)
            try:
                self._relay(owner)
            except Exception as exc:
                seconds = trouble.failed()
                detail = f"{str(exc).strip()} (RELAY_DATABASE_URL must be auditlog_relay's, of a migrated database)"
                values = {"detail": detail, "next_attempt_seconds": seconds}
                log.error("relay.embedded_failed", **values, exc_info=exc)  # noqa: TRY400 - the level has a name
                self._stop.wait(seconds)
        log.info("relay.stopped")

    def _relay(self, owner: str) -> None:
        assembled(
            owner=owner,
            parameters=parameters_of(settings.RELAY_DATABASE_URL),
            stop=self._stop,
            beat=metrics.LAST_LOOP.set_to_current_time,
            bell=self._bell,
            drain_seconds=self._drain_seconds,
        ).run()


_running: list[Embedded] = []


def start() -> None:
    """Start the relay of this process; call it once in each worker, after the fork."""
    _running.append(Embedded())
    _running[-1].start()


def stop() -> None:
    """Stop the relay of this process, if it has one; call it before the worker ends."""
    while _running:
        _running.pop().stop()
