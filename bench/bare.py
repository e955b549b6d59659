"""The references: the shortest loops from a table to Kafka, without leases, fencing, shards or ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from confluent_kafka import KafkaError, Message, Producer

from bench.backlog import BARE_TABLE
from devstack.errors import DevstackError
from publishers.kafka import headers
from publishers.outbox import Row

ROWS = 4_000
# What decides the speed, as the relay has it.
PROPERTIES: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 5,
    "queue.buffering.max.messages": 200_000,
    "log_level": 2,
}
FETCH = f"SELECT id, topic, key, value FROM {BARE_TABLE} ORDER BY id LIMIT {ROWS}".encode()
FETCH_WHOLE = f"""
SELECT '', id, shard, topic, key, event_id::text, event_type,
       to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), timeline, NULL, NULL, value
FROM {BARE_TABLE} ORDER BY id LIMIT {ROWS}
""".encode()
DELETE = f"DELETE FROM {BARE_TABLE} WHERE id = ANY(%s)".encode()
SOURCE = "/clinic"
Loop = Callable[[psycopg.Connection[Any], Producer], float]


def producer(bootstrap_servers: str, *, reports: bool) -> Producer:
    """Return the producer of a loop; without `reports`, it says only what it could not deliver."""
    more = {"bootstrap.servers": bootstrap_servers, "delivery.report.only.error": not reports}
    return Producer({**PROPERTIES, **more})


def drain(connection: psycopg.Connection[Any], sender: Producer) -> float:
    """
    Send keys and values of all rows and delete them, a batch when all of it is delivered; return the seconds it took.

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


def drain_whole(connection: psycopg.Connection[Any], sender: Producer) -> float:
    """
    Send the records that the relay would, and delete the rows that were reported; return the seconds that it took.

    :raises DevstackError: if the broker refuses one.
    """
    started = time.perf_counter()
    while rows := [Row._make(row) for row in connection.execute(FETCH_WHOLE).fetchall()]:
        reported: list[int] = []
        for row in rows:
            report = partial(_reported, reported, row.id)
            sender.produce(row.topic, value=row.value, key=row.key, headers=headers(row, SOURCE), on_delivery=report)
            sender.poll(0)
        sender.flush()
        connection.execute(DELETE, [reported])
    return time.perf_counter() - started


def _reported(reported: list[int], number: int, error: KafkaError | None, message: Message) -> None:
    _refused(error, message)
    reported.append(number)


def _refused(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        raise DevstackError(f"The broker refused an event of the bare loop: {error}")
