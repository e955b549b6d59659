"""The API as a process, and requests to it over one connection."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import psutil
from django.contrib.auth import get_user_model

from auditlog import api_keys
from bench.stack import Stack
from devstack import ports
from devstack.errors import DevstackError

REQUESTS = 400
QUICK_REQUESTS = 50
WARM_UP = 20
PAGE = "/api/audit/v1/events/?page_size=50"
Ask = Callable[[int], None]


@dataclass(slots=True)
class Server:
    """The API's worker process, and a client with a key that may do everything."""

    pid: int
    port: int
    key: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def requests(self) -> dict[str, Ask]:
        """Return what is asked, by name: each asks so many times."""
        return {
            "a change": partial(self._repeat, "POST", "/api/specialties/"),
            "a page of 50 events": partial(self._repeat, "GET", PAGE),
        }

    def _repeat(self, method: str, path: str, count: int) -> None:
        headers = {"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(ports.HOST, self.port, timeout=60)
        for _ in range(count):
            body = json.dumps({"name": f"Specialty {next(self._numbers)}"}) if method == "POST" else None
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in {200, 201}:
                raise DevstackError(f"{method} {path} was answered by {answer.status}")
        connection.close()


@contextmanager
def serving(stack: Stack, **variables: str) -> Iterator[Server]:
    """Run the API for the length of a block; `variables` are more of its environment."""
    port = ports.free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:settings.server", "settings.wsgi"]
    user = get_user_model().objects.create_superuser(f"bench-{port}")
    key = api_keys.issue(user=user, name="bench")
    variables = {"API_BIND": f"{ports.HOST}:{port}", "REQUEST_LOG_PERCENT": "0", **variables}
    with stack.running_program("api", command, **variables) as pid:
        stack.wait_until(lambda: _answers(port), what="the API")
        yield Server(psutil.Process(pid).children()[0].pid, port, key)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=60)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
