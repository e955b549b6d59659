"""`manage.py run_consumer`: build the read model from the topics."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from prometheus_client import start_http_server

from auditlog import topics, tracing
from auditlog.heartbeat import RunLoop, heartbeat
from auditlog.patience import bound
from auditlog.stopping import stop_at_signals
from auditlog.tracing import Service
from consumers import metrics
from consumers.faults import ClientFailed
from consumers.kafka import Source, membership
from consumers.loop import Loop, locator, wait_for_brokers
from consumers.projector import Projector

log = structlog.get_logger(__name__)

# A batch makes some hundred thousand objects that live until it is stored, and no cycles: looking for these every 700
# objects took a sixth of the time.
OBJECTS_BETWEEN_COLLECTIONS = 200_000
# So long a thread that reads ahead may keep the other one from answering PostgreSQL; Python's own 5 ms leave it idle.
SWITCH_SECONDS = 0.001


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Read the topics of all registered models and store their events in the audit log, each once. Start as many "
        "as there is work for: they share the partitions. Waits for Kafka and PostgreSQL where these are down. SIGTERM "
        "finishes the batch under way and exits with 0."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--group", default=settings.KAFKA_CONSUMER_GROUP, help="consumer group (%(default)s)")
        parser.add_argument(
            "--metrics-port", type=int, default=0, help="serve Prometheus metrics on this port; 0: nowhere"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Consume until a signal."""
        gc.freeze()
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
        sys.setswitchinterval(SWITCH_SECONDS)
        if options["metrics_port"]:
            start_http_server(options["metrics_port"])
        connection_created.connect(_bound)
        with stop_at_signals(second_ends=False) as stop, heartbeat(RunLoop.CONSUMER, gauge=metrics.LAST_LOOP) as alive:
            _consume(options["group"], stop, alive.beat)
        log.info("consumer.stopped")


def _consume(group: str, stop: threading.Event, beat: Callable[[], None]) -> None:
    projector = Projector(group=group, tracer=tracing.tracer(Service.CONSUMER))
    source = Source(
        connection=settings.KAFKA_CONNECTION,
        group=group,
        locate=locator(projector, stop, beat),
        protocol=settings.KAFKA_GROUP_PROTOCOL,
        properties=membership(
            settings.KAFKA_GROUP_PROTOCOL,
            instance=settings.KAFKA_GROUP_INSTANCE_ID,
            session_seconds=settings.KAFKA_SESSION_TIMEOUT_SECONDS,
        ),
    )
    metrics.LAG_SECONDS.set_function(source.lag_seconds)
    try:
        if wait_for_brokers(source, stop, beat):
            names = topics.all_topics()
            log.info("consumer.started", group=group, topics=len(names))
            source.subscribe(names)
            Loop(
                source=source,
                projector=projector,
                stop=stop,
                batch_rows=settings.CONSUMER_BATCH_ROWS,
                batch_seconds=settings.CONSUMER_BATCH_MILLISECONDS / 1000,
                beat=beat,
            ).run()
    except ClientFailed as exc:
        # Whoever watches over this process starts it again: what made the client fail may be gone by then.
        raise CommandError(f"{ClientFailed.__doc__} {exc}") from exc
    finally:
        source.close()


def _bound(*, connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    """connection_created: give a server up that does not answer."""
    bound(connection.connection, seconds=settings.DATABASE_ANSWER_SECONDS)
