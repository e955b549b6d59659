"""What a process shows of its metrics: its own, or those of all workers of its web server."""

from __future__ import annotations

import os
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app, multiprocess


class Server(ThreadingMixIn, WSGIServer):
    """Answers on a port that the other workers answer on as well."""

    daemon_threads = True
    allow_reuse_port = True


class Quiet(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def registry() -> CollectorRegistry:
    """Return what is to be shown: with several workers, what all of them counted."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    together = CollectorRegistry(support_collectors_without_names=True)
    multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


def forget(process: int) -> None:
    """Leave out of what all workers show together what was true of one that has ended; what it counted stays."""
    multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]


def serve(port: int) -> None:
    """Serve the metrics on a port, in a thread of its own."""
    server = make_server("", port, make_wsgi_app(registry()), Server, Quiet)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
