"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping

HOST = "127.0.0.1"
# How many ports above the preferred one are tried before any other.
NEARBY = 100


def free_port(*, preferred: int = 0) -> int:
    """Return `preferred` where nothing listens there, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # A port in TIME_WAIT is free for a server, as it is for the servers that we start.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")


def choose(preferred: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name: the preferred one, or the next that is free and not given to another name."""
    chosen: dict[str, int] = {}
    for name, first in preferred.items():
        taken = set(chosen.values())
        nearby = (port for port in range(first, first + NEARBY) if port not in taken and _is_free(port))
        chosen[name] = next(nearby, 0) or free_port()
    return chosen


def answers(port: int) -> bool:
    """Tell whether something accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _is_free(port: int) -> bool:
    # Who listens on all interfaces may leave the loopback interface free to bind: it would get our connections.
    return not answers(port) and free_port(preferred=port) == port
