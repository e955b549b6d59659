"""
Gives a PostgreSQL up that takes what it is sent and does not answer.

TCP notices a server that vanished (keepalives, `tcp_user_timeout`), not one that hangs, nor a proxy or firewall that
lost its connection to the server and keeps ours: whoever waits for an answer there waits for ever.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper

# Of the caller's transaction. A session's setting would leak behind a pooler in transaction mode. The first strikes
# while the server waits for a client, the second where it takes in what one copies.
BOUND_TRANSACTION = """
SELECT set_config('idle_in_transaction_session_timeout', %(milliseconds)s, true),
       set_config('statement_timeout', %(milliseconds)s, true)
"""


class NoAnswer(psycopg.OperationalError):
    """PostgreSQL did not answer in time: the connection was given up."""


def bound(connection: psycopg.Connection[Any], *, seconds: float) -> None:
    """
    Let a connection be closed, and NoAnswer be raised, where nothing comes for so long while it waits for an answer.

    For connections whose statements are brief. What the server does meanwhile, it may still finish.
    """
    wait = connection.wait

    def bounded_wait(waiting: Generator[Any, Any, Any], *arguments: Any, **more: Any) -> Any:
        return wait(_bounded(waiting, connection, seconds), *arguments, **more)

    # Everything that talks to the server passes through it.
    setattr(connection, "wait", bounded_wait)  # noqa: B010 - a method of this one connection


def bound_transaction(connection: BaseDatabaseWrapper, *, seconds: float) -> None:
    """
    Let the server end the caller's transaction, and free what it locks, where its client is silent for so long.

    Otherwise the locks of a client whose machine is gone are held until the server's keepalives notice: two hours.
    """
    with connection.cursor() as cursor:
        cursor.execute(BOUND_TRANSACTION, {"milliseconds": str(round(seconds * 1000))})


def _bounded(
    waiting: Generator[Any, Any, Any], connection: psycopg.Connection[Any], seconds: float
) -> Generator[Any, Any, Any]:
    """Pass on what the driver waits for; it looks now and then (every 0.1 seconds) whether anything is ready."""
    heard = time.monotonic()
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                heard = now
            elif now - heard >= seconds:
                connection.pgconn.finish()
                raise NoAnswer(f"No answer of PostgreSQL in {seconds:g} seconds.")
            wanted = waiting.send(ready)
    except StopIteration as done:
        return done.value
