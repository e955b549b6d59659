"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Mapping

HOST = "127.0.0.1"
# How many ports above the preferred one are tried before any other.
NEARBY = 100
# Who asks whether a reserved port answers must not have to wait for it.
WAITING_CALLERS = 100


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


class Reservations:
    """
    A port for each name: the preferred one, or the next that is free.

    Each is held until it is released for the process that is to listen there: two stacks that start at once would
    choose the same ones.
    """

    def __init__(self, preferred: Mapping[str, int]) -> None:
        self._holders = {name: _listener_near(port) for name, port in preferred.items()}
        self.chosen = {name: int(holder.getsockname()[1]) for name, holder in self._holders.items()}

    def release(self, *names: str) -> None:
        """Let go of ports; nothing happens for those that are not held."""
        for name in names:
            if holder := self._holders.pop(name, None):
                holder.close()


def answers(port: int) -> bool:
    """Tell whether something accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _listener_near(preferred: int) -> socket.socket:
    for port in (*range(preferred, preferred + NEARBY), 0):
        # Who listens on all interfaces may leave the loopback interface free to bind: it would get our connections.
        if port and answers(port):
            continue
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((HOST, port))
            holder.listen(WAITING_CALLERS)
        except OSError:
            holder.close()
            continue
        return holder
    raise OSError("no free port")
