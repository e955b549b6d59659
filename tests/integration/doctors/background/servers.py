"""Real servers on the loopback interface that fail as they are told: SMTP, and the hospital directory."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mails, after it has given the answers in `refusals` to as many of them."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailSession)
        self.refusals: list[str] = []
        # Whether the connection is cut after a mail was taken, before the client hears of it.
        self.silent = False
        self.taken: list[str] = []
        self.recipients: list[str] = []


class _MailSession(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 mail.test")
        while line := self.rfile.readline():
            command = line.decode().strip()
            if command.upper().startswith("RCPT"):
                if self.server.refusals:
                    self._say(self.server.refusals.pop(0))
                    continue
                self.server.recipients.append(command)
            if command.upper() == "DATA":
                self._say("354 go on")
                self.server.taken.append(self._data())
                if self.server.silent:
                    return
            self._say("221 bye" if command.upper() == "QUIT" else "250 fine")

    def _data(self) -> str:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.decode())
        return "".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class Directory(ThreadingHTTPServer):
    """Keeps what is put, after it has given the answers in `refusals`; 0 stands for none at all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _DirectoryRequest)
        self.refusals: list[int] = []
        self.doctors: dict[str, Any] = {}
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.server_address[1]}/api/"


class _DirectoryRequest(BaseHTTPRequestHandler):
    server: Directory

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._accepted():
            self.server.doctors[self.path] = body

    def do_DELETE(self) -> None:
        if self.path not in self.server.doctors:
            self._answer(404)
        elif self._accepted():
            del self.server.doctors[self.path]

    def _accepted(self) -> bool:
        self.server.tokens.add(self.headers["Authorization"])
        status = self.server.refusals.pop(0) if self.server.refusals else 204
        if status:
            self._answer(status)
        else:
            self.close_connection = True
        return status == 204

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status // 100 == 3:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve for the length of a block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
