"""Wakes the relay after a commit: a flag in the writer's thread, a NOTIFY from a thread of its own."""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Any

import psycopg
import structlog
from django.db import connections

from publishers import metrics

log = structlog.get_logger(__name__)

CHANNEL = "auditlog_outbox"
# The payload by which relays tell one another that leases are to be balanced; a writer's hint has none.
BALANCE = "balance"
INTERVAL_SECONDS = 0.015
# A failure to send hints is said once in this time.
QUIET_SECONDS = 60.0
# Without the flush of a hint to disk; SET LOCAL, as a session's setting leaks behind a transaction pooler.
NOTIFY = f"BEGIN; SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}; COMMIT"
# What Django's connection parameters have beyond what libpq knows, and what is its own business.
NOT_LIBPQ = frozenset({"cursor_factory", "context", "prepare_threshold", "row_factory", "autocommit"})


class Waker:
    """At most one NOTIFY per interval and database, whatever the number of commits. A lost hint costs one poll."""

    def __init__(self) -> None:
        self._inherited: list[dict[str, psycopg.Connection[Any]]] = []
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._begin()
        os.register_at_fork(after_in_child=self._forked)
        atexit.register(self.flush)

    def wake(self, *, using: str, **_kwargs: Any) -> None:
        """Note that the outbox of this database has something; returns at once."""
        self._noted.add(using)
        if not self._running:
            self._start()
        self._flag.set()

    def flush(self) -> None:
        """Send what is noted now: a process that ends has no next interval. Waits for a hint being sent."""
        with self._sending:
            self._send()
            self._close()

    def _begin(self) -> None:
        self._flag = threading.Event()
        self._noted: set[str] = set()
        self._starting, self._sending = threading.Lock(), threading.Lock()
        self._running = False
        self._quiet_until = 0.0

    def _forked(self) -> None:
        # A fork has neither the thread nor a right to the connections: kept, so that nobody closes the parent's.
        self._inherited.append(self._connections)
        self._connections = {}
        self._begin()

    def _start(self) -> None:
        with self._starting:
            if not self._running:
                threading.Thread(target=self._run, name="outbox-wake", daemon=True).start()
                self._running = True

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._flag.wait()
            self._flag.clear()
            with self._sending:
                self._send()
            pause.wait(INTERVAL_SECONDS)

    def _send(self) -> None:
        for using in list(self._noted):
            # Before sending: what is noted from here on may have committed too late for this hint.
            self._noted.discard(using)
            self._send_to(using)

    def _send_to(self, using: str) -> None:
        try:
            connection = self._connections.get(using)
            if connection is None or connection.closed:
                parameters = connection_parameters(using)
                connection = self._connections[using] = psycopg.connect(**parameters, prepare_threshold=None)
            connection.execute(NOTIFY)
        except Exception as exc:  # noqa: BLE001 - the edge of the thread: a hint less must not end all hints
            self._failed(using, exc)

    def _failed(self, using: str, exc: Exception) -> None:
        metrics.WAKE_FAILURES.inc()
        if (connection := self._connections.pop(using, None)) is not None:
            connection.close()
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            log.warning("wake.failed", using=using, error=type(exc).__name__, detail=str(exc))

    def _close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()


def connection_parameters(using: str) -> dict[str, Any]:
    """Return what psycopg needs for an autocommit connection of our own to this alias."""
    found = connections[using].get_connection_params()
    kept = {name: value for name, value in found.items() if name not in NOT_LIBPQ and value is not None}
    return {"connect_timeout": 5, **kept, "autocommit": True}


waker = Waker()
