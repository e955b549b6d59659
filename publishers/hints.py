"""
Hints that something was committed: from the database, from this process, or from nobody.

A pooler in transaction mode passes no notifications on. Behind one, hints come over a connection of their own that goes
past it, or do not come: then the relay polls. A lost hint costs one poll in any case.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

import psycopg
import structlog

from publishers import sessions
from publishers.backoff import Backoff
from publishers.wake import BALANCE, CHANNEL

log = structlog.get_logger(__name__)


class Listening(Enum):
    """Over which connection notifications come."""

    ITS_OWN = "its own"  # the one that it works with
    NONE = "none"  # it works through a pooler, and nothing goes past it


class Bell:
    """Rung by any thread of this process, heard by the relay."""

    def __init__(self) -> None:
        self.heard_at, self._rung_at = os.pipe()
        for end in (self.heard_at, self._rung_at):
            os.set_blocking(end, False)

    def ring(self) -> None:
        """Give a hint; returns at once."""
        with suppress(BlockingIOError):  # so many were given that one more says nothing
            os.write(self._rung_at, b"!")

    def hear(self) -> bool:
        """Take all hints; returns whether there was one."""
        with suppress(BlockingIOError):
            return bool(os.read(self.heard_at, 4_096))
        return False


class Hints:
    """What the relay waits for while there is nothing to do."""

    def __init__(self, over: Listening | Mapping[str, Any] = Listening.ITS_OWN, *, bell: Bell | None = None) -> None:
        """`over` may be the parameters of a connection that goes past the pooler."""
        self._over, self._bell = over, bell
        self._listener: psycopg.Connection[Any] | None = None
        self._retry = Backoff(0.5, 30.0)
        self._retry_at = 0.0

    def attach(self, connection: psycopg.Connection[Any]) -> None:
        """Begin, with the connection that the relay works with."""
        if self._over is Listening.ITS_OWN:
            connection.execute(f"LISTEN {CHANNEL}")
            self._listener = connection

    def wait(self, seconds: float, *, balance: Callable[[], None]) -> bool:
        """
        Wait so long for a hint, and return whether there was one; calls `balance` for those of other relays.

        :raises psycopg.OperationalError: if the connection that the relay works with is lost.
        """
        self._connect()
        if self._take(balance):
            return True
        waiting = select.poll()
        if self._listener is not None:
            waiting.register(self._listener.fileno(), select.POLLIN)
        if self._bell is not None:
            waiting.register(self._bell.heard_at, select.POLLIN)
        return bool(waiting.poll(seconds * 1_000)) and self._take(balance)

    def close(self) -> None:
        """Let go of a connection of its own."""
        if self._listener is not None and isinstance(self._over, Mapping):
            self._listener.close()
        self._listener = None

    def _take(self, balance: Callable[[], None]) -> bool:
        heard = self._bell is not None and self._bell.hear()
        if self._listener is None:
            return heard
        try:
            for notification in self._listener.notifies(timeout=0):
                heard = True
                if notification.payload == BALANCE:
                    balance()
        except psycopg.OperationalError as exc:
            if self._over is Listening.ITS_OWN:
                raise
            self._lost(exc)
        return heard

    def _connect(self) -> None:
        if not isinstance(self._over, Mapping) or self._listener is not None or time.monotonic() < self._retry_at:
            return
        try:
            # Not so long that a lease could run out meanwhile.
            self._listener = sessions.connect({**self._over, "connect_timeout": 1}, answer_seconds=1)
            self._listener.execute(f"LISTEN {CHANNEL}")
        except psycopg.OperationalError as exc:
            self._lost(exc)
        else:
            self._retry.succeeded()

    def _lost(self, exc: psycopg.OperationalError) -> None:
        """Poll until it can be connected again."""
        self.close()
        seconds = self._retry.failed()
        self._retry_at = time.monotonic() + seconds
        log.warning("relay.not_listening", detail=str(exc).strip(), next_attempt_seconds=seconds)
