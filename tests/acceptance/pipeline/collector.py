"""A collector of spans: takes in what exporters send over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from devstack import ports


class Span(NamedTuple):
    """A span as it arrived."""

    service: str
    kind: int
    name: str
    trace: str
    id: str
    parent: str


class Collector:
    """Listens until it is closed."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((ports.HOST, 0), Handler)
        self.address = f"http://{ports.HOST}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    ids = (each.hex() for each in (span.trace_id, span.span_id, span.parent_span_id))
                    self.spans.append(Span(names["service.name"], span.kind, span.name, *ids))

    def of_trace(self, trace: str) -> list[Span]:
        """Return the spans of a trace."""
        return [span for span in self.spans if span.trace == trace]

    def close(self) -> None:
        """Go away; safe to repeat."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running() -> Iterator[Collector]:
    """Collect for the length of a block."""
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()
