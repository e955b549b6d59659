"""Puts a relay together from the settings: for a process of its own, and for the web process."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from auditlog import tracing
from auditlog.tracing import Service
from publishers.hints import Bell, Hints, Listening
from publishers.kafka import Publisher
from publishers.leases import Leases
from publishers.relay import Limits, Relay


def new_owner() -> str:
    """Return a name for a relay of this process that no other ever had."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def assembled(
    *,
    owner: str,
    parameters: dict[str, Any],
    stop: threading.Event,
    beat: Callable[[], None],
    bell: Bell | None = None,
    drain_seconds: float | None = None,
) -> Relay:
    """
    Return a relay that connects with these parameters; `bell` is rung by the writers of this process.

    :raises BadConfiguration: if the Kafka client does not accept the KAFKA_* settings.
    """
    return Relay(
        parameters=parameters,
        publisher=Publisher(
            connection=settings.KAFKA_CONNECTION,
            source=settings.AUDITLOG_CE_SOURCE,
            tracer=tracing.tracer(Service.RELAY),
        ),
        leases=Leases(owner=owner, seconds=settings.RELAY_LEASE_SECONDS),
        hints=Hints(_listening(), bell=bell),
        stop=stop,
        beat=beat,
        limits=Limits(
            batch_rows=settings.RELAY_BATCH_ROWS,
            batch_bytes=settings.RELAY_BATCH_BYTES,
            poll_seconds=settings.RELAY_POLL_MAX_MILLISECONDS / 1000,
            drain_seconds=settings.RELAY_DRAIN_SECONDS if drain_seconds is None else drain_seconds,
            ledger_days=settings.OUTBOX_LEDGER_DAYS,
        ),
    )


def parameters_of(url: str) -> dict[str, Any]:
    """Return what psycopg needs to connect to an address."""
    return {"connect_timeout": 5, **conninfo_to_dict(url)}


def _listening() -> Listening | dict[str, Any]:
    if settings.RELAY_LISTEN_URL:
        return parameters_of(settings.RELAY_LISTEN_URL)
    return Listening.NONE if settings.DATABASE_BEHIND_PGBOUNCER else Listening.ITS_OWN
