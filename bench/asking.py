"""Requests at a fixed rate, whatever the answers: one that is late delays no other, and counts from when it was due."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from devstack import ports

AT_ONCE = 64
TIMEOUT_SECONDS = 60
MILLISECONDS = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status (0: none), the body, and the milliseconds since the request was due."""

    status: int
    body: bytes
    milliseconds: float


class Client:
    """A caller with a key; every thread keeps a connection of its own."""

    def __init__(self, *, port: int, key: str) -> None:
        self.authorization = f"Api-Key {key}"
        self._port = port
        self._local = threading.local()

    def get(self, path: str, *, due: float | None = None) -> Answer:
        """Ask once; a connection that the server has closed meanwhile is made anew, and that takes time as well."""
        started = time.perf_counter() if due is None else due
        is_new = getattr(self._local, "connection", None) is None
        try:
            status, body = self._exchange(path)
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            if not is_new:
                return self.get(path, due=started)
            status, body = 0, b""
        return Answer(status, body, (time.perf_counter() - started) * MILLISECONDS)

    def at_rate(self, paths: Sequence[str], *, per_second: float) -> list[Answer]:
        """Ask for each path in turn at the rate, and return the answers in the same order."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            started, waiting = time.perf_counter(), []
            for number, path in enumerate(paths):
                due = started + number / per_second
                time.sleep(max(0.0, due - time.perf_counter()))
                waiting.append(threads.submit(self.get, path, due=due))
            return [answer.result() for answer in waiting]

    def _exchange(self, path: str) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(ports.HOST, self._port, timeout=TIMEOUT_SECONDS)
            self._local.connection = connection
        connection.request("GET", path, headers={"Authorization": self.authorization})
        answer = connection.getresponse()
        return answer.status, answer.read()
