"""How fast the relay drains a backlog, beside a bare loop on the same database and broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psutil
import psycopg
from confluent_kafka import Producer

from auditlog.roles import Role
from bench import backlog, bare
from bench.pipeline import LEASED, number
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Cost, Spread, interleaved, on_processor, ratios

BACKLOG_ROWS = 200_000
QUICK_BACKLOG_ROWS = 20_000
ROUNDS = 7
QUICK_ROUNDS = 3
WARM_UP_ROUNDS = 1
BARE, WHOLE = "bare loop", "bare loop, whole records"
OUTBOX = "auditlog_outboxevent"
MEGABYTE = 2**20
NOW = "SELECT extract(epoch FROM clock_timestamp())"
BACKEND = "SELECT pid FROM pg_stat_activity WHERE usename = 'auditlog_relay' ORDER BY backend_start LIMIT 1"
LAST_ENTRY = "SELECT coalesce(max(id), 0) FROM auditlog_outboxledger"
ACKNOWLEDGED = """
SELECT coalesce(sum(cardinality(outbox_ids)), 0), extract(epoch FROM max(acknowledged_at))
FROM auditlog_outboxledger WHERE id > %s
"""
COLUMNS = ("", "rows/s (range)", "relay / this (range)", "CPU s per 100,000: process", "server", "memory MB")
NOTE = (
    "The bare loop fetches 4,000 rows in id order, produces, flushes and deletes them by id; with whole records, it "
    "sends the headers that the relay does and gets a report of each. Durability is the same everywhere. Rows of the "
    "relay count from the commit of the backlog to the last acknowledgement. CPU: of the process and of its backend in "
    "the database; the broker's is not counted."
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Drain backlogs with the bare loop and with a relay process in turn."""
    rows = QUICK_BACKLOG_ROWS if quick else BACKLOG_ROWS
    stack.start_kafka()
    stack.make_topic(backlog.TOPIC)
    with _tables(stack) as owner, stack.running("run_relay", role=Role.RELAY) as pid:
        stack.wait_until(lambda: number(owner, LEASED) == 64, what="the relay holds all shards")
        stack.say(f"relay: backlogs of {rows:,} rows")
        process = psutil.Process(pid)
        candidates: dict[str, Callable[[], Cost]] = {
            BARE: partial(_bare_round, stack, owner, bare.drain, _sender(stack, reports=False), rows),
            WHOLE: partial(_bare_round, stack, owner, bare.drain_whole, _sender(stack, reports=True), rows),
            "relay": lambda: _relay_round(stack, owner, process, rows),
        }
        found = interleaved(candidates, rounds=QUICK_ROUNDS if quick else ROUNDS, warm_up=WARM_UP_ROUNDS)
        figures = _figures(found, rows) | {"relay_memory_mb": process.memory_info().rss / MEGABYTE}
    return Report((_table(figures),), figures)


@contextmanager
def _tables(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    with stack.connect(Role.OWNER) as owner:
        owner.execute(f"TRUNCATE {OUTBOX}".encode())
        owner.execute(backlog.BARE)
        try:
            yield owner
        finally:
            owner.execute(f"DROP TABLE {backlog.BARE_TABLE}".encode())


def _sender(stack: Stack, *, reports: bool) -> Producer:
    return bare.producer(stack.bootstrap_servers, reports=reports)


def _bare_round(stack: Stack, owner: psycopg.Connection[Any], drain: bare.Loop, sender: Producer, rows: int) -> Cost:
    backlog.fill(owner, table=backlog.BARE_TABLE, rows=rows)
    _settle(stack)
    with stack.connect(Role.OWNER) as connection:
        connection.execute("SET synchronous_commit = off")  # as the relay has it
        server = connection.info.backend_pid
        client_cpu, server_cpu = time.process_time(), on_processor(server)
        seconds = drain(connection, sender)
        cost = Cost(seconds, time.process_time() - client_cpu, on_processor(server) - server_cpu)
    owner.execute(f"TRUNCATE {backlog.BARE_TABLE}".encode())
    return cost


def _relay_round(stack: Stack, owner: psycopg.Connection[Any], process: psutil.Process, rows: int) -> Cost:
    entry, server = number(owner, LAST_ENTRY), int(number(owner, BACKEND))
    _settle(stack)
    client_cpu, server_cpu = _cpu_seconds(process), on_processor(server)
    backlog.fill(owner, table=OUTBOX, rows=rows)
    committed = number(owner, NOW)

    def done() -> bool:
        return acknowledged(owner, entry)[0] >= rows

    stack.wait_until(done, what="the relay drains the backlog")
    last = acknowledged(owner, entry)[1]
    cost = Cost(last - committed, _cpu_seconds(process) - client_cpu, on_processor(server) - server_cpu)
    owner.execute(f"VACUUM {OUTBOX}".encode())
    return cost


def _settle(stack: Stack) -> None:
    with stack.admin() as admin:
        admin.execute("CHECKPOINT")


def acknowledged(owner: psycopg.Connection[Any], entry: float) -> tuple[int, float]:
    """Return how many were acknowledged since an entry of the ledger, and when the last of them was."""
    row = owner.execute(ACKNOWLEDGED, [entry]).fetchone()
    return (int(row[0]), float(row[1] or 0)) if row else (0, 0.0)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _figures(found: dict[str, list[Cost]], rows: int) -> dict[str, Any]:
    speeds = {name: [rows / cost.seconds for cost in costs] for name, costs in found.items()}
    each = 100_000 / rows
    return {
        "backlog_rows": rows,
        "rows_per_second": {name: Spread.of(values) for name, values in speeds.items()},
        "relay_to": {name: ratios(speeds["relay"], speeds[name]) for name in (BARE, WHOLE)},
        "process_cpu_seconds_per_100_000": {
            name: Spread.of([cost.client_cpu * each for cost in costs]) for name, costs in found.items()
        },
        "server_cpu_seconds_per_100_000": {
            name: Spread.of([cost.server_cpu * each for cost in costs]) for name, costs in found.items()
        },
    }


def _table(figures: dict[str, Any]) -> Table:
    rows = [
        (
            name,
            speed.text(0),
            figures["relay_to"][name].text(2) if name in figures["relay_to"] else "",
            f"{figures['process_cpu_seconds_per_100_000'][name].median:.2f}",
            f"{figures['server_cpu_seconds_per_100_000'][name].median:.2f}",
            f"{figures['relay_memory_mb']:.0f}" if name == "relay" else "",
        )
        for name, speed in figures["rows_per_second"].items()
    ]
    return Table(f"Relay, backlogs of {figures['backlog_rows']:,} rows of 1 kB", COLUMNS, rows, NOTE)
