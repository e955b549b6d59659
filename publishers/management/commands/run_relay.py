"""`manage.py run_relay`: publish the outbox to Kafka."""

from __future__ import annotations

import gc
from typing import Any

import psycopg
import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from auditlog.heartbeat import RunLoop, heartbeat
from auditlog.stopping import stop_at_signals
from publishers import metrics
from publishers.assembly import assembled, new_owner
from publishers.kafka import BadConfiguration
from publishers.wake import connection_parameters

log = structlog.get_logger(__name__)
# More than two batches have: circles are collected when so many objects are new.
YOUNG_OBJECTS = 100_000


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
        owner = new_owner()
        log.info("relay.started", owner=owner)
        # What is loaded by now stays, and what a batch makes goes with it, in no circle: nothing to look through again
        # and again.
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        try:
            with stop_at_signals(second_ends=False) as stop, heartbeat(RunLoop.RELAY, gauge=metrics.LAST_LOOP) as alive:
                parameters = connection_parameters("default")
                assembled(owner=owner, parameters=parameters, stop=stop, beat=alive.beat).run()
        except BadConfiguration as exc:
            raise CommandError(str(exc)) from exc
        except psycopg.ProgrammingError as exc:
            hint = "Migrate the database, and connect as auditlog_relay (DATABASE_URL)."
            raise CommandError(f"The outbox cannot be read: {exc}{hint}") from exc
        log.info("relay.stopped")
