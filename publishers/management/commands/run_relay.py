"""`manage.py run_relay`: publish the outbox to Kafka."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from auditlog import tracing
from auditlog.heartbeat import RunLoop, heartbeat
from auditlog.stopping import stop_at_signals
from auditlog.tracing import Service
from publishers import metrics
from publishers.kafka import BadConfiguration, Publisher
from publishers.leases import Leases
from publishers.relay import Limits, Relay
from publishers.wake import connection_parameters

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Publish committed events to Kafka until a signal. Start several: they share the shards. Waits for Kafka and "
        "PostgreSQL where these are down. SIGTERM finishes the batch under way and exits with 0."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--metrics-port", type=int, default=0, help="serve Prometheus metrics on this port; 0: nowhere"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Relay until a signal."""
        if options["metrics_port"]:
            start_http_server(options["metrics_port"])
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        log.info("relay.started", owner=owner)
        try:
            with stop_at_signals(second_ends=False) as stop, heartbeat(RunLoop.RELAY, gauge=metrics.LAST_LOOP) as alive:
                _relay(owner, stop, alive.beat).run()
        except BadConfiguration as exc:
            raise CommandError(str(exc)) from exc
        except psycopg.ProgrammingError as exc:
            hint = "Migrate the database, and connect as auditlog_relay (DATABASE_URL)."
            raise CommandError(f"The outbox cannot be read: {exc}{hint}") from exc
        log.info("relay.stopped")


def _relay(owner: str, stop: threading.Event, beat: Callable[[], None]) -> Relay:
    return Relay(
        parameters=connection_parameters("default"),
        publisher=Publisher(
            connection=settings.KAFKA_CONNECTION,
            source=settings.AUDITLOG_CE_SOURCE,
            tracer=tracing.tracer(Service.RELAY),
        ),
        leases=Leases(owner=owner, seconds=settings.RELAY_LEASE_SECONDS),
        stop=stop,
        beat=beat,
        limits=Limits(
            batch_rows=settings.RELAY_BATCH_ROWS,
            batch_bytes=settings.RELAY_BATCH_BYTES,
            poll_seconds=settings.RELAY_POLL_MAX_MILLISECONDS / 1000,
            drain_seconds=settings.RELAY_DRAIN_SECONDS,
            ledger_days=settings.OUTBOX_LEDGER_DAYS,
        ),
    )
