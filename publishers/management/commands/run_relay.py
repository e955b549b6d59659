"""`manage.py run_relay`: publish the outbox to Kafka."""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from publishers.kafka import Publisher
from publishers.leases import Leases
from publishers.relay import Relay
from publishers.wake import connection_parameters


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Publish committed events to Kafka until a signal. Start several: they share the shards. Waits for Kafka and "
        "PostgreSQL where these are down. SIGTERM finishes the batch under way and exits with 0."
    )
    requires_system_checks = []

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Relay until a signal."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        Relay(
            parameters=connection_parameters("default"),
            publisher=Publisher(connection=settings.KAFKA_CONNECTION, source=getattr(settings, "CE_SOURCE", "/clinic")),
            leases=Leases(owner=owner, seconds=settings.RELAY_LEASE_SECONDS),
            stop=stop,
            batch_rows=settings.RELAY_BATCH_ROWS,
            poll_seconds=settings.RELAY_POLL_MAX_MILLISECONDS / 1000,
            drain_seconds=settings.RELAY_DRAIN_SECONDS,
        ).run()
