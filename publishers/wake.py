"""Wakes the relay after a commit: a flag in the writer's thread, a NOTIFY from a thread of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import Any

import psycopg
from django.db import connections

CHANNEL = "auditlog_outbox"
INTERVAL_SECONDS = 0.015
# Without the flush of a hint to disk; SET LOCAL, as a session's setting leaks behind a transaction pooler.
NOTIFY = f"BEGIN; SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}; COMMIT"


class Waker:
    """At most one NOTIFY per interval, whatever the number of commits. A hint that is lost costs one poll."""

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._pid = 0
        self._parameters: dict[str, Any] = {}
        self._connection: psycopg.Connection[Any] | None = None

    def wake(self, *, using: str, **_kwargs: Any) -> None:
        """Note that the outbox has something; returns at once."""
        if self._pid != os.getpid():  # a fork has neither the thread nor a right to the connection
            self._pid, self._connection, self._flag = os.getpid(), None, threading.Event()
            self._parameters = connection_parameters(using)
            threading.Thread(target=self._run, name="outbox-wake", daemon=True).start()
            atexit.register(self.flush)
        self._flag.set()

    def flush(self) -> None:
        """Send what is noted now: a process that ends has no next interval."""
        if self._flag.is_set() and self._pid == os.getpid():
            self._flag.clear()
            self._send()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._flag.wait()
            self._flag.clear()
            self._send()
            pause.wait(INTERVAL_SECONDS)

    def _send(self) -> None:
        with contextlib.suppress(psycopg.Error):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(**self._parameters)
                self._connection.execute(NOTIFY)
            except psycopg.Error:
                self._connection = None
                raise


def connection_parameters(using: str) -> dict[str, Any]:
    """Return what psycopg needs for a connection of our own to this alias."""
    found = connections[using].get_connection_params()
    names = ("host", "port", "dbname", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey")
    return {name: found[name] for name in names if found.get(name)} | {"autocommit": True, "connect_timeout": 5}


waker = Waker()
