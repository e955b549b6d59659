"""Statements, round trips and WAL bytes of each operation: counted, so that they may be compared between runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection

from auditlog.roles import Role
from auditlog.signals import outbox_written
from bench.domain import CANDIDATES, LONE_CANDIDATES, filled, tidy
from bench.models import Person
from bench.operations import DELETE, DELETE_ROWS, OPERATIONS, Operation
from bench.report import Report, Table
from bench.stack import Stack
from bench.wire import traced
from publishers.wake import waker

# Other processes of the server can only add to the WAL: the least of these repetitions is the operation's own.
REPETITIONS = 4
COLUMNS = (
    "operation",
    "statements: plain",
    "auditlog",
    "trigger",
    "round trips: plain",
    "auditlog",
    "trigger",
    "WAL bytes: plain",
    "auditlog",
    "trigger",
    "bytes sent: plain",
    "auditlog",
    "added WAL an event",
)
PROGRAM = (
    *((operation.name, operation, CANDIDATES) for operation in OPERATIONS),
    *((f"{operation.name}, no relations", operation, LONE_CANDIDATES) for operation in (DELETE, DELETE_ROWS)),
)
WAL_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
EVENTS = "SELECT count(*) FROM auditlog_outboxevent"


@dataclass(frozen=True, slots=True)
class Count:
    """What one run of an operation takes, in autocommit mode."""

    statements: float
    round_trips: float
    bytes_sent: float
    wal_bytes: float
    events: float


def measure(stack: Stack, *, quick: bool) -> Report:  # noqa: ARG001 - as every measurement
    """Count every operation on every candidate; takes some seconds however quick it has to be."""
    figures: dict[str, dict[str, Count]] = {}
    with filled(stack), stack.connect(Role.OWNER) as owner, quiet(stack), _asleep():
        for title, operation, candidates in PROGRAM:
            stack.say(f"counts: {title}")
            figures[title] = {name: _count(operation, model, owner) for name, model in candidates.items()}
            tidy(owner)
    rows = [_row(name, counts) for name, counts in figures.items()]
    return Report((Table("Counted, for each operation in autocommit mode", COLUMNS, rows),), figures)


def _count(operation: Operation, model: type[Person], owner: psycopg.Connection[Any]) -> Count:
    counts = [_once(operation, model, owner) for _ in range(REPETITIONS)]
    return min(counts, key=lambda count: count.wal_bytes)


def _once(operation: Operation, model: type[Person], owner: psycopg.Connection[Any]) -> Count:
    runs = operation.prepare(model, operation.runs)
    statements = 0

    def counted(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(sql, params, many, context)

    events, position = _number(owner, EVENTS), _number(owner, WAL_POSITION)
    with traced(connection.connection) as traffic, connection.execute_wrapper(counted):
        for run in runs:
            run()
    written = _number(owner, WAL_POSITION) - position
    count = len(runs)
    return Count(
        statements=statements / count,
        round_trips=traffic.round_trips / count,
        bytes_sent=traffic.bytes_sent / count,
        wal_bytes=written / count,
        events=(_number(owner, EVENTS) - events) / count,
    )


@contextmanager
def quiet(stack: Stack) -> Iterator[None]:
    """Keep autovacuum from writing WAL of its own."""
    with stack.admin() as admin:
        admin.execute("ALTER SYSTEM SET autovacuum = off")
        admin.execute("SELECT pg_reload_conf()")
        # Full images of pages are written once for each page after a checkpoint: there is none before the end.
        admin.execute("CHECKPOINT")
        try:
            yield
        finally:
            admin.execute("ALTER SYSTEM RESET autovacuum")
            admin.execute("SELECT pg_reload_conf()")


@contextmanager
def _asleep() -> Iterator[None]:
    """Wake no relay: the hints are sent by the clock, and each writes some WAL."""
    outbox_written.disconnect(dispatch_uid="publishers.wake")
    try:
        yield
    finally:
        outbox_written.connect(waker.wake, dispatch_uid="publishers.wake")


def _number(owner: psycopg.Connection[Any], query: str) -> float:
    row = owner.execute(query.encode()).fetchone()
    return float(row[0]) if row else 0.0


def _row(name: str, counts: dict[str, Count]) -> tuple[str, ...]:
    plain, audited = counts["no audit"], counts["auditlog"]
    counted = [counts.get(candidate) for candidate in CANDIDATES]
    return (
        name,
        *(f"{count.statements:g}" if count else "" for count in counted),
        *(f"{count.round_trips:g}" if count else "" for count in counted),
        *(f"{count.wal_bytes:,.0f}" if count else "" for count in counted),
        f"{plain.bytes_sent:,.0f}",
        f"{audited.bytes_sent:,.0f}",
        f"{(audited.wal_bytes - plain.wal_bytes) / audited.events:,.0f}" if audited.events else "",
    )
