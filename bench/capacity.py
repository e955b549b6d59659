"""What an event costs each process and the disks: counted and by processor time, which other load changes little."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.db import transaction

from auditlog.roles import Role
from bench import web
from bench.domain import filled, tidy
from bench.models import Audited
from bench.operations import BULK_CREATE, UPDATE_ROWS, new
from bench.pipeline import LEASED, STORED, WAL_POSITION, number
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import on_processor

EVENTS = 40_000
QUICK_EVENTS = 6_000
STEADY_PER_SECOND = (100, 500)
STEADY_SECONDS = 20
QUICK_STEADY_SECONDS = 3
MILLION, MEGABYTE, MICROSECONDS = 1_000_000, 2**20, 1_000_000
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend'"
OUTBOX_BYTES = "SELECT pg_total_relation_size('auditlog_outboxevent')"
LEDGER_BYTES = "SELECT pg_total_relation_size('auditlog_outboxledger')"
# Of all partitions: with TOAST, without indexes; and the indexes.
ROW_BYTES = "SELECT sum(pg_table_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'auditlog_auditlog'::regclass"
INDEX_BYTES = "SELECT sum(pg_indexes_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'auditlog_auditlog'::regclass"
USE_COLUMNS = ("process", "processor µs", "its backend µs", "one process on one core", "peak memory MB")
DISK_COLUMNS = ("", "bytes an event", "GB for a million events")
USE_NOTE = (
    "For each event, or each request of the API. A steady rate has small batches, a backlog large ones. Not counted: "
    "the broker, PostgreSQL's own processes, and starting."
)
DISK_NOTE = "Half of the events are creates, half are updates, of a row of about 500 bytes; an update holds it twice."


@dataclass(frozen=True, slots=True)
class Use:
    """What one event cost a process and its backends, in microseconds, and the most memory the process ever had."""

    process: float
    backend: float
    peak_mb: float

    @property
    def per_core(self) -> float:
        """How many events a second one process can do at most: Python keeps one core busy."""
        return MICROSECONDS / self.process


@dataclass(frozen=True, slots=True)
class Watched:
    """A process, and the role with which it connects."""

    pid: int
    roles: tuple[Role, ...]

    def seconds(self, admin: psycopg.Connection[Any]) -> tuple[float, float]:
        """Return the processor seconds so far of the process and of its backends."""
        times = psutil.Process(self.pid).cpu_times()
        pids = [pid for role in self.roles for (pid,) in admin.execute(BACKENDS, [role.value]).fetchall()]
        return times.user + times.system, sum(map(on_processor, pids))

    def peak_mb(self) -> float:
        """Return the most memory that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def measure(stack: Stack, *, quick: bool) -> Report:
    """Drain a backlog, follow steady rates, answer requests; then look at what lies on the disks."""
    stack.start_kafka()
    with filled(stack), stack.connect(Role.OWNER) as owner, stack.admin() as admin:
        stack.say("capacity: events through relay and consumer")
        use, disk = _through_the_pipeline(stack, owner, admin, quick=quick)
        stack.say("capacity: requests")
        with web.serving(stack) as server:
            watched = Watched(server.pid, (Role.APP, Role.READER))
            for name, ask in server.requests().items():
                ask(web.WARM_UP)
                count = web.QUICK_REQUESTS if quick else web.REQUESTS
                use[f"API: {name}"] = _used(watched, admin, count, partial(ask, count))
        tidy(owner)
    return Report((_use_table(use), _disk_table(disk)), {"use": use, "bytes_per_event": disk})


def _through_the_pipeline(
    stack: Stack, owner: psycopg.Connection[Any], admin: psycopg.Connection[Any], *, quick: bool
) -> tuple[dict[str, Use], dict[str, float]]:
    events, seconds = (QUICK_EVENTS, QUICK_STEADY_SECONDS) if quick else (EVENTS, STEADY_SECONDS)
    with (
        stack.running("run_relay", role=Role.RELAY) as relay,
        stack.running("run_consumer", role=Role.CONSUMER) as consumer,
    ):
        watched = {"relay": Watched(relay, (Role.RELAY,)), "consumer": Watched(consumer, (Role.CONSUMER,))}
        stack.wait_until(lambda: number(owner, LEASED) == 64, what="the relay holds all shards")
        _stored(stack, owner, 2_000, lambda: _write(2_000))
        before = _disks(stack, owner)
        outbox: list[float] = []

        def backlog() -> None:
            with transaction.atomic():
                _write(events)
                outbox.append(number(owner, OUTBOX_BYTES))

        use = _used_by_all(watched, admin, events, "backlog", lambda: _stored(stack, owner, events, backlog))
        disk = {name: (size - before[name]) / events for name, size in _disks(stack, owner).items()}
        disk["outbox, while it waits"] = (outbox[0] - before["outbox, while it waits"]) / events
        for rate in STEADY_PER_SECOND:
            use |= _used_by_all(
                watched,
                admin,
                rate * seconds,
                f"{rate} events/s",
                partial(_stored, stack, owner, rate * seconds, partial(_pace, rate * seconds, per_second=rate)),
            )
    return use, disk


def _used_by_all(
    watched: dict[str, Watched], admin: psycopg.Connection[Any], count: int, how: str, work: Callable[[], None]
) -> dict[str, Use]:
    before = {name: each.seconds(admin) for name, each in watched.items()}
    work()
    return {f"{name}, {how}": _use(each, before[name], each.seconds(admin), count) for name, each in watched.items()}


def _used(watched: Watched, admin: psycopg.Connection[Any], count: int, work: Callable[[], None]) -> Use:
    return _used_by_all({"": watched}, admin, count, "", work)[", "]


def _use(watched: Watched, before: tuple[float, float], after: tuple[float, float], count: int) -> Use:
    process, backend = ((late - early) / count * MICROSECONDS for early, late in zip(before, after, strict=True))
    return Use(process, backend, watched.peak_mb())


def _stored(stack: Stack, owner: psycopg.Connection[Any], events: int, write: Callable[[], None]) -> None:
    """Write events and wait until all of them are stored."""
    wanted = number(owner, STORED) + events
    write()
    stack.wait_until(lambda: number(owner, STORED) >= wanted, what="everything is stored", seconds=300)


def _write(events: int) -> None:
    """Make events, of each 2,000 half by creating rows and half by updating some."""
    for operation in (BULK_CREATE, UPDATE_ROWS):
        for run in operation.prepare(Audited, events // 2 // operation.rows):
            run()


def _pace(events: int, *, per_second: int) -> None:
    """Create rows one by one, at a steady rate."""
    started = time.perf_counter()
    for position in range(events):
        time.sleep(max(0.0, started + position / per_second - time.perf_counter()))
        new(Audited).save()


def _disks(stack: Stack, owner: psycopg.Connection[Any]) -> dict[str, float]:
    logs = sum(path.stat().st_size for path in stack.kafka_folder.rglob("audit.*/*.log"))
    return {
        "audit log: rows": number(owner, ROW_BYTES),
        "audit log: indexes": number(owner, INDEX_BYTES),
        "ledger": number(owner, LEDGER_BYTES),
        "topics, of each copy": float(logs),
        "write-ahead log, from the change to the audit log": number(owner, WAL_POSITION),
        "outbox, while it waits": number(owner, OUTBOX_BYTES),
    }


def _use_table(use: dict[str, Use]) -> Table:
    rows = [
        (name, f"{each.process:,.0f}", f"{each.backend:,.0f}", f"{each.per_core:,.0f}/s", f"{each.peak_mb:.0f}")
        for name, each in use.items()
    ]
    return Table("Processor time and memory", USE_COLUMNS, rows, USE_NOTE)


def _disk_table(disk: dict[str, float]) -> Table:
    rows = [(name, f"{size:,.0f}", f"{size * MILLION / 10**9:.2f}") for name, size in disk.items()]
    return Table("Disks", DISK_COLUMNS, rows, DISK_NOTE)
