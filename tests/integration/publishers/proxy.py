"""A TCP proxy that a test can cut, so that a server goes away for one client only."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import closing, suppress

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
# The first field of a request: which interface is called.
PRODUCE = b"\0\0"


class Proxy:
    """
    Forwards connections on a port of its own to a target; `cut` closes them all and refuses new ones.

    A broker tells its clients where it listens; here it is made to name the proxy, so that they stay with it.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self.port = self._listener.getsockname()[1]
        self._real = HOST.encode() + struct.pack(">i", target[1])
        self._named = HOST.encode() + struct.pack(">i", self.port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._through = True
        # Requests to produce that contain this are taken and never answered.
        self.swallowed: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close all connections and let none through."""
        with self._lock:
            self._through = False
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._through = True

    def close(self) -> None:
        """End."""
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client):
            if not self._through:
                return
            with suppress(OSError), socket.create_connection(self._target) as server:
                with self._lock:
                    self._open |= {client, server}
                back = threading.Thread(target=self._answer, args=(server, client), daemon=True)
                back.start()
                self._ask(client, server)
                back.join()
                with self._lock:
                    self._open -= {client, server}

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        waiting = b""
        with suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                if self.swallowed is None and not waiting:
                    server.sendall(data)
                    continue
                waiting += data
                while len(waiting) >= 4 and len(waiting) >= (end := 4 + int.from_bytes(waiting[:4], "big")):
                    request, waiting = waiting[:end], waiting[end:]
                    if request[4:6] != PRODUCE or self.swallowed is None or self.swallowed not in request:
                        server.sendall(request)
        _end(client, server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        _pump(server, client, self._real, self._named)


def _pump(source: socket.socket, target: socket.socket, old: bytes = b"\0", new: bytes = b"\0") -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data.replace(old, new))
    _end(source, target)


def _end(*connections: socket.socket) -> None:
    for end in connections:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
