"""What the client says of its connections, said again to operators."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError
from django.conf import settings

log = structlog.get_logger(__name__)

QUIET_SECONDS = 10.0


class ErrorReport:
    """
    Logs the client's errors, each kind now and then: a broker that is away fails many times a second.

    `cause` is what an operator has to put right, until a broker answers: a password, a certificate, a name.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[int, float] = {}
        self.cause = ""

    def __call__(self, error: KafkaError) -> None:
        """Log the error unless one of its kind was logged just now."""
        detail = error.str()
        # With TLS 1.3 a broker refuses our certificate after the handshake: for the client a connection that failed.
        if hint := settings.KAFKA_HINTS.get("_SSL" if "SSL routines" in detail else error.name()):
            self.cause = detail = f"{detail} ({hint})"
        now = self._clock()
        if now - self._said.get(error.code(), -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self._said[error.code()] = now
        if error.fatal():
            log.error("consumer.kafka_fatal", code=error.name(), detail=detail)
        else:
            log.warning("consumer.kafka_unreachable", code=error.name(), detail=detail)
