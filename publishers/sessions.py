"""The relay's connection to PostgreSQL, which may pass a pooler in transaction mode."""

from __future__ import annotations

from typing import Any, Self

import psycopg
from django.conf import settings
from psycopg.abc import Params, Query

from auditlog.patience import bound

# What every scan of a queue table needs, whatever the statistics of a momentarily empty table say: the order of the
# index and no sort. `jit` never pays here. A crash of the server may undo the last acknowledgements together with
# their ledger entries: these events are sent again, so no commit waits for the disk.
SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
    "synchronous_commit": "off",
    "TimeZone": "UTC",
}
SETTLE = "".join(f"SET LOCAL {name} = '{value}'; " for name, value in SETTINGS.items())
# A server that vanished without a word is noticed: seconds, and milliseconds.
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3, "tcp_user_timeout": 15_000}


class SettledCursor(psycopg.ClientCursor[Any]):
    """
    Sends the relay's settings with each statement, in the same round trip and for its transaction only.

    A pooler in transaction mode gives each transaction another session: what belongs to a session would be lost, or
    meet others. Values are bound by the client, since only so several statements travel together; none is prepared.
    """

    def execute(self, query: Query, params: Params | None = None, **more: Any) -> Self:
        """Execute the last of one or several statements under the settings; the result is that of the last."""
        statement: Any = query  # the relay's are text
        super().execute(SETTLE + statement, params, **more)
        while self.nextset():
            pass
        return self


def connect(parameters: dict[str, Any], *, answer_seconds: float | None = None) -> psycopg.Connection[Any]:
    """
    Return an autocommit connection of the relay; `parameters` are those of `wake.connection_parameters`.

    It gives a server up that is silent for `answer_seconds`, by default DATABASE_ANSWER_SECONDS.
    """
    own: dict[str, Any] = {"application_name": "auditlog-relay", "autocommit": True}
    connection = psycopg.connect(
        **{**KEEPALIVE, **parameters, **own}, prepare_threshold=None, cursor_factory=SettledCursor
    )
    bound(connection, seconds=settings.DATABASE_ANSWER_SECONDS if answer_seconds is None else answer_seconds)
    return connection
