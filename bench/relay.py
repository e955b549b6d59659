"""How fast the relay drains a backlog, beside a bare loop on the same database and broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg

from auditlog.roles import Role
from bench import backlog, bare
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Spread, interleaved, ratios

BACKLOG_ROWS = 100_000
QUICK_BACKLOG_ROWS = 20_000
ROUNDS = 7
QUICK_ROUNDS = 3
WARM_UP_ROUNDS = 1
OUTBOX = "auditlog_outboxevent"
MEGABYTE = 2**20
LEASED = "SELECT count(*) FROM publishers_shardlease WHERE until > clock_timestamp()"
NOW = "SELECT extract(epoch FROM clock_timestamp())"
LAST_ENTRY = "SELECT coalesce(max(id), 0) FROM auditlog_outboxledger"
# Rows acknowledged since an entry of the ledger, and when the last of them was.
ACKNOWLEDGED = """
SELECT coalesce(sum(cardinality(outbox_ids)), 0), extract(epoch FROM max(acknowledged_at))
FROM auditlog_outboxledger WHERE id > %s
"""
COLUMNS = ("", "rows/s (range)", "relay / bare loop (range)", "CPU s per 100,000 rows", "memory MB")
NOTE = (
    "The bare loop fetches 4,000 rows in id order, produces, flushes and deletes them by id. Rows of the relay count "
    "from the commit of the backlog to the last acknowledgement. CPU and memory: the relay's process alone."
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Drain backlogs with the bare loop and with a relay process in turn."""
    rows = QUICK_BACKLOG_ROWS if quick else BACKLOG_ROWS
    stack.start_kafka()
    stack.make_topic(backlog.TOPIC)
    with _tables(stack) as owner, stack.running("run_relay", role=Role.RELAY) as pid:
        stack.wait_until(lambda: _value(owner, LEASED) == 64, what="the relay holds all shards")
        stack.say(f"relay: backlogs of {rows:,} rows")
        process = psutil.Process(pid)
        sender = bare.producer(stack.bootstrap_servers)
        cpu_seconds: list[float] = []

        def by_loop() -> float:
            return _bare_round(stack, owner, sender, rows)

        def by_relay() -> float:
            before = _cpu_seconds(process)
            seconds = _relay_round(stack, owner, rows)
            cpu_seconds.append(_cpu_seconds(process) - before)
            return seconds

        candidates = {"bare loop": by_loop, "relay": by_relay}
        seconds = interleaved(candidates, rounds=QUICK_ROUNDS if quick else ROUNDS, warm_up=WARM_UP_ROUNDS)
        memory = process.memory_info().rss / MEGABYTE
    speeds = {name: [rows / value for value in values] for name, values in seconds.items()}
    figures = {
        "backlog_rows": rows,
        "rows_per_second": {name: Spread.of(values) for name, values in speeds.items()},
        "relay_to_bare": ratios(speeds["relay"], speeds["bare loop"]),
        "relay_cpu_seconds_per_100_000": Spread.of(cpu_seconds[WARM_UP_ROUNDS:]).scaled(100_000 / rows),
        "relay_memory_mb": memory,
    }
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


def _bare_round(stack: Stack, owner: psycopg.Connection[Any], sender: Any, rows: int) -> float:
    backlog.fill(owner, table=backlog.BARE_TABLE, rows=rows)
    _settle(stack)
    with stack.connect(Role.OWNER) as connection:
        connection.execute("SET synchronous_commit = off")  # as the relay has it
        seconds = bare.drain(connection, sender)
    owner.execute(f"TRUNCATE {backlog.BARE_TABLE}".encode())
    return seconds


def _relay_round(stack: Stack, owner: psycopg.Connection[Any], rows: int) -> float:
    entry = _value(owner, LAST_ENTRY)
    _settle(stack)
    backlog.fill(owner, table=OUTBOX, rows=rows)
    committed = _value(owner, NOW)

    def done() -> bool:
        return _acknowledged(owner, entry)[0] >= rows

    stack.wait_until(done, what="the relay drains the backlog")
    last = _acknowledged(owner, entry)[1]
    owner.execute(f"VACUUM {OUTBOX}".encode())
    return last - committed


def _settle(stack: Stack) -> None:
    with stack.admin() as admin:
        admin.execute("CHECKPOINT")


def _acknowledged(owner: psycopg.Connection[Any], entry: float) -> tuple[int, float]:
    row = owner.execute(ACKNOWLEDGED, [entry]).fetchone()
    return (int(row[0]), float(row[1] or 0)) if row else (0, 0.0)


def _value(owner: psycopg.Connection[Any], query: str) -> float:
    row = owner.execute(query.encode()).fetchone()
    return float(row[0]) if row else 0.0


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _table(figures: dict[str, Any]) -> Table:
    speeds = figures["rows_per_second"]
    cpu, memory = figures["relay_cpu_seconds_per_100_000"], figures["relay_memory_mb"]
    rows = [
        ("bare loop", speeds["bare loop"].text(0), "", "", ""),
        ("relay", speeds["relay"].text(0), figures["relay_to_bare"].text(2), f"{cpu.median:.2f}", f"{memory:.0f}"),
    ]
    return Table(f"Relay, backlogs of {figures['backlog_rows']:,} rows of 1 kB", COLUMNS, rows, NOTE)
