"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


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


def answers(port: int) -> bool:
    """Tell whether something accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
