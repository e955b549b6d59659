"""How fast the consumer fills the read model, beside a bare COPY of the same rows into the same table."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from auditlog.roles import Role
from bench import relay
from bench.domain import filled
from bench.models import Audited
from bench.operations import BULK_CREATE
from bench.pipeline import number, reaches
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Spread, ratios

EVENTS = 100_000
QUICK_EVENTS = 10_000
ROUNDS = 5
QUICK_ROUNDS = 2
DRAIN_SECONDS = 300
# As the consumer stores them.
COPY_ROWS = 2_000
# Rows, and the seconds from the first batch to the last; the rows of the first were there when the clock began.
STORING = """
SELECT count(*) FILTER (WHERE stored_at > first), extract(epoch FROM max(stored_at) - min(first))
FROM auditlog_auditlog, (SELECT min(stored_at) AS first FROM auditlog_auditlog) f
"""
BYTES = """
SELECT (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('auditlog_auditlog') WHERE isleaf)
  / (SELECT count(*) FROM auditlog_auditlog)
"""
VALUE_BYTES = "SELECT avg(octet_length(value)) FROM auditlog_outboxevent"
# Cheap to ask while it goes on. A handful of rows, no index.
REACHED = "SELECT coalesce(sum(next_offset), 0) FROM auditlog_consumeroffset"
# What is on the topics that consumers read.
ON_TOPICS = "SELECT coalesce(sum(cardinality(outbox_ids)), 0) FROM auditlog_outboxledger WHERE topic LIKE 'audit.%'"
# The consumer begins at the beginning of the topics.
FORGET = "TRUNCATE auditlog_auditlog, auditlog_consumeroffset, auditlog_rollup"
KEPT = "CREATE TABLE bench_kept AS SELECT * FROM auditlog_auditlog"
OUT = "COPY bench_kept TO STDOUT"
INTO = "COPY auditlog_auditlog FROM STDIN"
COLUMNS = ("", "rows/s (range)", "consumer / bare COPY (range)", "disk, bytes a row")
NOTE = (
    f"Events of {BULK_CREATE.rows:,} rows created at a time. The consumer: from its first commit to its last, out of "
    f"Kafka. Bare COPY: the same rows, {COPY_ROWS:,} in each transaction, on one connection, with all indexes."
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Fill the topics once; then let the consumer and COPY fill the empty table in turn."""
    events, rounds = (QUICK_EVENTS, QUICK_ROUNDS) if quick else (EVENTS, ROUNDS)
    stack.start_kafka()
    with filled(stack), stack.connect(Role.OWNER) as owner:
        stack.say(f"consumer: {events:,} events through the relay")
        value_bytes = publish(stack, owner, events)
        stack.say("consumer: filling the read model")
        speeds: dict[str, list[float]] = {"bare COPY": [], "consumer": []}
        for number_of_round in range(rounds):
            owner.execute(FORGET.encode())
            with stack.running("run_consumer", role=Role.CONSUMER):
                speeds["consumer"].append(consume(stack, owner))
            if not number_of_round:
                owner.execute(KEPT.encode())
            row_bytes = number(owner, BYTES)
            speeds["bare COPY"].append(_copy(owner))
        owner.execute(b"DROP TABLE bench_kept")
        owner.execute(FORGET.encode())
    figures = {
        "events": events,
        "value_bytes": value_bytes,
        "row_bytes": row_bytes,
        "rows_per_second": {name: Spread.of(values) for name, values in speeds.items()},
        "consumer_to_copy": ratios(speeds["consumer"], speeds["bare COPY"]),
    }
    return Report((_table(figures),), figures)


def publish(stack: Stack, owner: psycopg.Connection[Any], events: int) -> float:
    """Put events on the topic; returns how large their values are, in bytes."""
    for run in BULK_CREATE.prepare(Audited, events // BULK_CREATE.rows):
        run()
    value_bytes = number(owner, VALUE_BYTES)
    with stack.running("run_relay", role=Role.RELAY):
        pending = f"SELECT count(*) FROM {relay.OUTBOX}"
        stack.wait_until(lambda: not number(owner, pending), what="the relay has published all", seconds=DRAIN_SECONDS)
    return value_bytes


def consume(stack: Stack, owner: psycopg.Connection[Any]) -> float:
    """Wait until consumers that have just begun have stored all; return rows a second."""
    events = number(owner, ON_TOPICS)
    stack.wait_until(reaches(owner, REACHED, events), what="the consumer has stored all", seconds=DRAIN_SECONDS)
    rows, seconds = owner.execute(STORING.encode()).fetchone() or (0, 1)
    return float(rows) / float(seconds)


def _copy(owner: psycopg.Connection[Any]) -> float:
    """Return rows a second."""
    with owner.cursor().copy(OUT.encode()) as copy:
        lines = b"".join(bytes(block) for block in copy).splitlines(keepends=True)
    owner.execute(FORGET.encode())
    started = time.perf_counter()
    for first in range(0, len(lines), COPY_ROWS):
        with owner.cursor().copy(INTO.encode()) as copy:
            copy.write(b"".join(lines[first : first + COPY_ROWS]))
    return len(lines) / (time.perf_counter() - started)


def _table(figures: dict[str, Any]) -> Table:
    speeds = figures["rows_per_second"]
    rows = [
        ("bare COPY", speeds["bare COPY"].text(0), "", ""),
        ("consumer", speeds["consumer"].text(0), figures["consumer_to_copy"].text(2), f"{figures['row_bytes']:,.0f}"),
    ]
    title = f"Consumer, {figures['events']:,} events of {figures['value_bytes']:,.0f} bytes"
    return Table(title, COLUMNS, rows, NOTE)
