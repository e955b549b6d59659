"""What more relays and more consumers bring on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from auditlog.roles import Role
from bench import backlog, consumer, relay
from bench.domain import filled
from bench.pipeline import number, reaches
from bench.report import Report, Table
from bench.stack import Stack

EVENTS = 100_000
QUICK_EVENTS = 10_000
PROCESSES = (1, 2, 4)
# How many relays have their fair share of the shards.
BALANCED = """
SELECT count(*) FROM (
  SELECT owner FROM publishers_shardlease WHERE until > clock_timestamp() GROUP BY owner HAVING count(*) = 64 / {}) l
"""
COLUMNS = ("processes", "relays: events/s", "of one", "consumers: events/s", "of one")
NOTE = (
    "All share the processors with PostgreSQL and Kafka. Relays: from the commit of the backlog to the last "
    "acknowledgement. Consumers: from the first commit to the last."
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Drain the same number of events with 1, 2 and 4 relays, and store as many with 1, 2 and 4 consumers."""
    events = QUICK_EVENTS if quick else EVENTS
    stack.start_kafka()
    stack.make_topic(backlog.TOPIC)
    figures: dict[str, dict[int, float]] = {"relays": {}, "consumers": {}}
    with filled(stack), stack.connect(Role.OWNER) as owner:
        for count in PROCESSES:
            stack.say(f"scaling: {count} x run_relay")
            figures["relays"][count] = _publish(stack, owner, count, events)
        consumer.publish(stack, owner, events)
        for count in PROCESSES:
            stack.say(f"scaling: {count} x run_consumer")
            owner.execute(consumer.FORGET.encode())
            with _several(stack, "run_consumer", Role.CONSUMER, count):
                figures["consumers"][count] = consumer.consume(stack, owner)
        owner.execute(consumer.FORGET.encode())
    return Report((_table(figures),), figures)


def _publish(stack: Stack, owner: psycopg.Connection[Any], count: int, events: int) -> float:
    """Return events a second."""
    with _several(stack, "run_relay", Role.RELAY, count):
        stack.wait_until(reaches(owner, BALANCED.format(count), count), what="the relays share the shards")
        entry = number(owner, relay.LAST_ENTRY)
        backlog.fill(owner, table=relay.OUTBOX, rows=events)
        committed = number(owner, relay.NOW)
        stack.wait_until(lambda: relay.acknowledged(owner, entry)[0] >= events, what="the relays drain the backlog")
        return events / (relay.acknowledged(owner, entry)[1] - committed)


@contextmanager
def _several(stack: Stack, command: str, role: Role, count: int) -> Iterator[None]:
    with ExitStack() as exits:
        for process in range(count):
            exits.enter_context(stack.running(command, role=role, name=f"{command}-{process}"))
        yield


def _table(figures: dict[str, dict[int, float]]) -> Table:
    def cells(name: str, count: int) -> tuple[str, str]:
        speeds = figures[name]
        return f"{speeds[count]:,.0f}", f"{speeds[count] / speeds[1]:.2f}"

    rows = [(str(count), *cells("relays", count), *cells("consumers", count)) for count in PROCESSES]
    return Table("More processes", COLUMNS, rows, NOTE)
