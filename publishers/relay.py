"""The relay's loop: claim, fetch, publish, acknowledge."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import structlog

from publishers import outbox
from publishers.kafka import BrokersUnavailable, Publisher
from publishers.leases import Leases
from publishers.wake import CHANNEL

log = structlog.get_logger(__name__)

BACKOFF_MAX_SECONDS = 5.0
MISSING_TOPIC_SECONDS = 2.0


class Relay:
    """One relay process; batches follow one another, so that nothing of a key is in flight twice."""

    def __init__(
        self,
        *,
        parameters: dict[str, Any],
        publisher: Publisher,
        leases: Leases,
        stop: threading.Event,
        batch_rows: int,
        poll_seconds: float,
        drain_seconds: float,
    ) -> None:
        self._parameters, self._publisher, self._leases, self._stop = parameters, publisher, leases, stop
        self._batch_rows, self._poll_seconds, self._drain_seconds = batch_rows, poll_seconds, drain_seconds
        self._topics: set[str] = set()
        self._missing: set[str] = set()
        self._look_again_at = 0.0
        self._stopped_at: float | None = None
        self._turn = 0

    def run(self) -> None:
        """Publish until told to stop; waits with backoff while PostgreSQL or Kafka is away."""
        backoff = 0.1
        while not self._stop.is_set():
            try:
                with psycopg.connect(**self._parameters) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    backoff = 0.1
                    self._work(connection)
            except (psycopg.OperationalError, BrokersUnavailable) as exc:
                log.warning("relay.waiting", error=type(exc).__name__, detail=str(exc), seconds=backoff)
                self._stop.wait(backoff)
                backoff = min(backoff * 2, BACKOFF_MAX_SECONDS)

    def _work(self, connection: psycopg.Connection[Any]) -> None:
        pause = 0.005
        while not self._stop.is_set():
            if self._leases.due():
                self._leases.balance(connection)
            if self._batch(connection):
                pause = 0.005
                continue
            for _notification in connection.notifies(timeout=pause, stop_after=1):
                pause = 0.0025
            pause = min(pause * 2, self._poll_seconds)
        self._leases.release(connection)

    def _batch(self, connection: psycopg.Connection[Any]) -> bool:
        if time.monotonic() >= self._look_again_at:
            self._topics, self._missing = self._publisher.topics(), set()
            self._look_again_at = time.monotonic() + MISSING_TOPIC_SECONDS
        shards = sorted(self._leases.held)
        if not shards:
            return False
        self._turn = (self._turn + 1) % len(shards)
        shards = shards[self._turn :] + shards[: self._turn]
        rows = outbox.fetch(connection, shards=shards, stopped=self._missing, limit=self._batch_rows)
        if missing := {row.topic for row in rows} - self._topics:
            self._missing |= missing
            log.error("relay.topic_missing", topics=sorted(missing))
        rows = [row for row in rows if row.topic in self._topics]
        if not rows:
            return bool(missing)
        outcome = self._publisher.publish(rows, go_on=lambda: self._may_go_on(connection))
        count = outbox.acknowledge(connection, rows=outcome.published, leases=self._leases) if outcome.published else 0
        if outcome.rejected:
            outbox.park(connection, rejected=outcome.rejected, leases=self._leases)
            log.error("relay.parked", ids=[row.id for row, _ in outcome.rejected])
        log.info("relay.published", count=count, rejected=len(outcome.rejected))
        return bool(count or outcome.rejected)

    def _may_go_on(self, connection: psycopg.Connection[Any]) -> bool:
        """Return whether every lease surely holds; keeps them while a broker is slow, and bounds the drain."""
        if self._leases.due():
            held = dict(self._leases.held)
            self._leases.renew(connection)
            if self._leases.held != held:
                self._leases.deadline = 0.0
        if self._stop.is_set():
            self._stopped_at = self._stopped_at or time.monotonic()
            if time.monotonic() > self._stopped_at + self._drain_seconds:
                return False
        return self._leases.valid()
