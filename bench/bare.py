"""The reference: the shortest loop from a table to Kafka, without leases, fencing, ledger or headers."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from confluent_kafka import KafkaError, Message, Producer

from bench.backlog import BARE_TABLE
from devstack.errors import DevstackError

ROWS = 4_000
# What decides the speed, as the relay has it; a report for each message is not wanted here.
PROPERTIES: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "delivery.report.only.error": True,
    "log_level": 2,
}
FETCH = f"SELECT id, topic, key, value FROM {BARE_TABLE} ORDER BY id LIMIT {ROWS}".encode()
DELETE = f"DELETE FROM {BARE_TABLE} WHERE id = ANY(%s)".encode()


def producer(bootstrap_servers: str) -> Producer:
    """Return the producer of the loop."""
    return Producer({**PROPERTIES, "bootstrap.servers": bootstrap_servers})


def drain(connection: psycopg.Connection[Any], sender: Producer) -> float:
    """
    Send all rows and delete them; return the seconds that it took.

    :raises DevstackError: if the broker refuses one.
    """
    started = time.perf_counter()
    while rows := connection.execute(FETCH).fetchall():
        for _, topic, key, value in rows:
            sender.produce(topic, value=value.encode(), key=key.encode(), on_delivery=_refused)
            sender.poll(0)
        sender.flush()
        connection.execute(DELETE, [[row[0] for row in rows]])
    return time.perf_counter() - started


def _refused(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise DevstackError(f"The broker refused an event of the bare loop: {error}")
