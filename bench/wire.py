"""What goes over the wire, as the client library's own trace says: each round trip ends with one ReadyForQuery."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg.pq import Trace

ANSWERED = b"\tReadyForQuery"
FROM_CLIENT = b"F\t"


@dataclass(slots=True)
class Traffic:
    """Filled when the block ends."""

    round_trips: int = 0
    bytes_sent: int = 0


@contextmanager
def traced(connection: Any) -> Iterator[Traffic]:
    """Count what a driver's connection sends and how often it waits for an answer."""
    traffic = Traffic()
    with tempfile.TemporaryFile() as trace:
        connection.pgconn.trace(trace.fileno())
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield traffic
        finally:
            connection.pgconn.untrace()
            trace.seek(0)
            for line in trace:
                traffic.round_trips += ANSWERED in line
                if line.startswith(FROM_CLIENT):
                    # F, the message's length, its type, its content
                    traffic.bytes_sent += int(line.split(b"\t")[1])
