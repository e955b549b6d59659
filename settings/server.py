"""gunicorn's configuration for the `api` role: `gunicorn -c python:settings.server settings.wsgi`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from prometheus_client import start_http_server

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.local")

bind = settings.API_BIND
workers = 1
worker_class = "gthread"
threads = settings.API_THREADS
graceful_timeout = settings.API_GRACEFUL_SECONDS
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


def post_worker_init(_worker: Any) -> None:
    """Serve the metrics of the process that answers requests."""
    if settings.API_METRICS_PORT:
        start_http_server(settings.API_METRICS_PORT)
