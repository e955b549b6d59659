"""gunicorn's configuration for the `api` role: `gunicorn -c python:settings.server settings.wsgi`."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.local")
# Several workers keep their metrics in files that each of them can add up. The library looks at the variable when it is
# imported. A new folder at each start: nothing of an earlier server is counted, however that ended.
METRICS_FOLDER = tempfile.mkdtemp(prefix="auditlog-metrics-") if settings.API_WORKERS > 1 else ""
if METRICS_FOLDER:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = METRICS_FOLDER

bind = settings.API_BIND
workers = settings.API_WORKERS
worker_class = "gthread"
threads = settings.API_THREADS
# A cursor has up to 6,000 characters, and stands beside filters.
limit_request_line = 8_190
graceful_timeout = settings.API_GRACEFUL_SECONDS
# Longer than proxies keep a connection that nobody uses (most of them 60 seconds): this side must not be the one that
# closes first, maybe just when a request is on its way.
keepalive = 75
# The server's own words in the form of all others; requests are counted, not logged.
logconfig_dict = settings.LOGGING | {
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "ERROR", "handlers": [], "propagate": True},
    }
}
# Both would be files in places that a read-only file system does not have.
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - memory, and the kernel's


def post_worker_init(worker: Any) -> None:
    """
    Serve the metrics on their own port (with several workers, each does, and answers for all); start a relay.

    Requests that wait for events answer when the worker is asked to end. No request asks the database whether an open
    connection still is one: that is seen without. What is loaded now stays: the garbage collector is told so, or it
    would walk through all of it time and again, and hold requests up for 60 ms each time.
    """
    import_string("auditlog.api.waits.end_when")(lambda: not worker.alive)
    import_string("auditlog.open_connections.install")()
    if settings.API_METRICS_PORT:
        import_string("auditlog.exposition.serve")(settings.API_METRICS_PORT)
    if settings.RELAY_EMBEDDED:
        import_string("publishers.embedded.start")()
    import_module(settings.ROOT_URLCONF)
    gc.collect()
    gc.freeze()


def worker_exit(_server: Any, _worker: Any) -> None:
    """Let an embedded relay drain, after the last request, within what is left of the grace."""
    if settings.RELAY_EMBEDDED:
        import_string("publishers.embedded.stop")()


def child_exit(_server: Any, worker: Any) -> None:
    """What a worker that has ended was doing, it does no longer; however it ended."""
    if METRICS_FOLDER:
        import_string("auditlog.exposition.forget")(worker.pid)


def on_exit(_server: Any) -> None:
    """Leave no files behind."""
    if METRICS_FOLDER:
        shutil.rmtree(METRICS_FOLDER, ignore_errors=True)
