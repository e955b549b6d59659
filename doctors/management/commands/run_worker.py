"""`manage.py run_worker`: run the tasks of the background."""

from __future__ import annotations

import os
import socket
import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from prometheus_client import start_http_server

from auditlog.stopping import Stop, stop_at_signals
from doctors.background.outcomes import Retries
from doctors.background.worker import Worker

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Run background tasks, one after the other, until a signal: mails, notifications, the hospital directory. "
        "Start several: each task is run by one of them. A task that fails is tried again later; one whose worker died "
        "is taken over by another. Waits for PostgreSQL where it is down. SIGTERM finishes the task under way and "
        "exits with 0."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--metrics-port", type=int, default=0, help="serve Prometheus metrics on this port; 0: nowhere"
        )
        parser.add_argument("--until-idle", action="store_true", help="end when no task is due")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Work until a signal, or until nothing is left to do."""
        if options["metrics_port"]:
            start_http_server(options["metrics_port"])
        with stop_at_signals(second_ends=False) as stop:
            worker = _worker(stop)
            log.info("worker.started", worker=worker.name)
            try:
                worker.run_until_idle() if options["until_idle"] else worker.run()
            except DatabaseError as exc:
                raise CommandError(f"The tasks cannot be read: {exc}") from exc
        log.info("worker.stopped", worker=worker.name)


def _worker(stop: Stop) -> Worker:
    return Worker(
        name=f"{socket.gethostname()[:32]}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
        stop=stop,
        poll_seconds=settings.WORKER_POLL_MILLISECONDS / 1000,
        retries=Retries.of_settings(),
        keep=timedelta(days=settings.WORKER_KEEP_DAYS),
    )
