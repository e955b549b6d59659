"""Statements, batches and WAL bytes of the relay and of the consumer for each event: counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from django.db import transaction

from auditlog.roles import Role
from bench.counts import quiet
from bench.domain import filled, tidy
from bench.models import Audited
from bench.operations import BULK_CREATE
from bench.report import Report, Table
from bench.stack import Stack

EVENTS = 20_000
QUICK_EVENTS = 5_000
ROLES = (Role.RELAY, Role.CONSUMER)
# How the server's log begins a statement, by the protocol that brought it.
LOGGED = ("LOG:  statement: ", "LOG:  execute ")
WAL_POSITION = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
LEASED = "SELECT count(*) FROM publishers_shardlease WHERE until > clock_timestamp()"
PUBLISHED = "SELECT coalesce(sum(cardinality(outbox_ids)), 0) FROM auditlog_outboxledger"
STORED = "SELECT count(*) FROM auditlog_auditlog"
COLUMNS = ("process", "events", "batches", "events a batch", "statements a batch", "WAL bytes an event")


@dataclass(frozen=True, slots=True)
class Work:
    """What a process did for some events."""

    events: int
    batches: int
    statements: int
    wal_bytes: float


class Meter:
    """Reads the server's log and its WAL position from a point on."""

    def __init__(self, stack: Stack, owner: psycopg.Connection[tuple[float]]) -> None:
        self._log, self._owner = stack.server_log(), owner
        self._start = self._log.stat().st_size
        self._position = number(owner, WAL_POSITION)

    def read(self, *, events: int, marker: str) -> Work:
        """Return what was done since; `marker` stands in one statement of each batch."""
        wal_bytes = number(self._owner, WAL_POSITION) - self._position
        with self._log.open("rb") as log:
            log.seek(self._start)
            said = log.read().decode(errors="replace")
        return Work(events, said.count(marker), sum(said.count(beginning) for beginning in LOGGED), wal_bytes)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Let a backlog of real events pass through the relay, and after it through the consumer."""
    events = QUICK_EVENTS if quick else EVENTS
    stack.start_kafka()
    with filled(stack), stack.connect(Role.OWNER) as owner, quiet(stack), _logged(stack):
        stack.say(f"pipeline: {events:,} events through the relay")
        relay = _through_relay(stack, owner, events)
        stack.say(f"pipeline: {events:,} events through the consumer")
        meter, stored = Meter(stack, owner), number(owner, STORED)
        with stack.running("run_consumer", role=Role.CONSUMER):
            stack.wait_until(reaches(owner, STORED, stored + events), what="the consumer has stored all")
        consumer = meter.read(events=events, marker="INSERT INTO auditlog_auditlog")
        tidy(owner)
    figures = {"relay": relay, "consumer": consumer}
    rows = [_row(name, work) for name, work in figures.items()]
    return Report(
        (Table("Counted in the processes behind the write, while they drain a backlog", COLUMNS, rows),), figures
    )


def number(connection: psycopg.Connection[tuple[float]], query: str) -> float:
    """Return the one number that a query asks for."""
    row = connection.execute(query.encode()).fetchone()
    return float(row[0]) if row else 0.0


def _through_relay(stack: Stack, owner: psycopg.Connection[tuple[float]], events: int) -> Work:
    with stack.running("run_relay", role=Role.RELAY):
        stack.wait_until(reaches(owner, LEASED, 64), what="the relay holds all shards")
        published = number(owner, PUBLISHED)
        with transaction.atomic():
            for run in BULK_CREATE.prepare(Audited, events // BULK_CREATE.rows):
                run()
            meter = Meter(stack, owner)
        stack.wait_until(reaches(owner, PUBLISHED, published + events), what="the relay has published all")
        return meter.read(events=events, marker="INSERT INTO auditlog_outboxledger")


def reaches(connection: psycopg.Connection[tuple[float]], query: str, value: float) -> Callable[[], bool]:
    """Return whether the number that a query asks for is as high."""
    return lambda: number(connection, query) >= value


@contextmanager
def _logged(stack: Stack) -> Iterator[None]:
    """Let the server log every statement of the two roles."""
    with stack.admin() as admin:
        for role in ROLES:
            admin.execute(f"ALTER ROLE {role} SET log_statement = 'all'".encode())
        try:
            yield
        finally:
            for role in ROLES:
                admin.execute(f"ALTER ROLE {role} RESET log_statement".encode())


def _row(name: str, work: Work) -> tuple[str, ...]:
    return (
        name,
        f"{work.events:,}",
        f"{work.batches}",
        f"{work.events / work.batches:,.0f}",
        f"{work.statements / work.batches:.1f}",
        f"{work.wal_bytes / work.events:,.0f}",
    )
