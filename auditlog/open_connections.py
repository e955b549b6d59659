"""
Sees whether a connection that stayed open between requests still is, without a question to the server.

With `CONN_HEALTH_CHECKS` Django asks with a statement of its own, at the first use in each request. A server that ends
or lets go of a session says so (an error message, FIN, RST): then there is something to read. Where there is nothing,
the first statement finds out no later than that question would.
"""

from __future__ import annotations

import select
from typing import Any, cast

from django.core.signals import request_started
from django.db import connections


def install() -> None:
    """Look at the connections of this process when a request begins. For a web server's worker; safe to repeat."""
    request_started.connect(trust_silent_ones, dispatch_uid="auditlog.trust_silent_ones")


def trust_silent_ones(**_signal: Any) -> None:
    """
    request_started, behind Django's own receiver: spare connections the question over which nothing came.

    Waits for nothing.
    """
    for opened in cast("list[Any]", connections.all(initialized_only=True)):
        if opened.connection is not None and opened.vendor == "postgresql" and _is_silent(opened.connection):
            opened.health_check_done = True


def _is_silent(connection: Any) -> bool:
    if connection.closed:
        return False
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    # Errors and the other side's end are told whatever is registered.
    return not waiting.poll(0)
