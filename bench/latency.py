"""How long a committed change takes to be queryable: through relay, Kafka and consumer, each a process of its own."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from auditlog.context import set_actor
from auditlog.roles import Role
from bench.domain import ACTOR
from bench.models import Audited
from bench.operations import new
from bench.report import Report, Table
from bench.stack import Stack
from devstack.errors import DevstackError

EVENTS_PER_SECOND = 200
SECONDS = 20
QUICK_SECONDS = 5
WARM_UP_EVENTS = 50
WAIT_SECONDS = 60
POLL_SECONDS = 0.002
MILLISECONDS = 1_000
# Index: auditlog_auditlog_object.
VISIBLE = "SELECT object_pk FROM auditlog_auditlog WHERE model = %s AND object_pk = ANY(%s)"
COLUMNS = ("events", "rate/s", "p50 ms", "p90 ms", "p99 ms", "max ms")
NOTE = (
    "From the return of save() in autocommit mode to the first query of another connection that finds the event; asked "
    "every 2 ms."
)


@dataclass(slots=True)
class Watch:
    """Keys of rows that were committed, and when each event was seen first. Safe for one writer and one reader."""

    committed: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def milliseconds(self) -> list[float]:
        """How long each took, sorted."""
        return sorted((seen - self.committed[key]) * MILLISECONDS for key, seen in self.seen.items())

    def outstanding(self) -> list[str]:
        """Return the keys whose events nobody has seen."""
        return [key for key in list(self.committed) if key not in self.seen]


def measure(stack: Stack, *, quick: bool) -> Report:
    """Write at a steady rate and watch the read model."""
    stack.start_kafka()
    with (
        set_actor(ACTOR),
        stack.running("run_relay", role=Role.RELAY),
        stack.running("run_consumer", role=Role.CONSUMER),
    ):
        stack.say("latency: waiting for the first events")
        with _watched(stack) as watch:
            _write(watch, count=WARM_UP_EVENTS)
        seconds = QUICK_SECONDS if quick else SECONDS
        stack.say(f"latency: {EVENTS_PER_SECOND} events a second for {seconds} seconds")
        with _watched(stack) as watch:
            took = _write(watch, count=EVENTS_PER_SECOND * seconds)
    return _report(watch, took)


@contextmanager
def _watched(stack: Stack) -> Iterator[Watch]:
    """Watch what is committed in the block, and after it until all was seen."""
    watch, finished = Watch(), threading.Event()
    with stack.connect(Role.READER) as reader:
        thread = threading.Thread(target=_look, args=(reader, watch, finished), daemon=True)
        thread.start()
        try:
            yield watch
            stack.wait_until(lambda: not watch.outstanding(), what="all events are stored", seconds=WAIT_SECONDS)
        finally:
            finished.set()
            thread.join()


def _look(reader: psycopg.Connection[tuple[str]], watch: Watch, finished: threading.Event) -> None:
    while not finished.wait(POLL_SECONDS):
        if outstanding := watch.outstanding():
            found = reader.execute(VISIBLE, [Audited._meta.label_lower, outstanding]).fetchall()
            now = time.perf_counter()
            watch.seen.update((key, now) for (key,) in found)


def _write(watch: Watch, *, count: int) -> float:
    """Create rows at the rate; return the seconds that it took."""
    started = time.perf_counter()
    for number in range(count):
        time.sleep(max(0.0, started + number / EVENTS_PER_SECOND - time.perf_counter()))
        instance = new(Audited)
        instance.save()
        watch.committed[str(instance.pk)] = time.perf_counter()
    return time.perf_counter() - started


def _report(watch: Watch, took: float) -> Report:
    found = watch.milliseconds
    if len(found) != len(watch.committed):
        raise DevstackError(f"{len(watch.committed) - len(found)} events are missing in the read model.")
    cuts = statistics.quantiles(found, n=100)
    milliseconds = {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": found[-1]}
    figures = {
        "events": len(found),
        "events_per_second": len(found) / took,
        "milliseconds": milliseconds,
    }
    row = (
        f"{len(found):,}",
        f"{len(found) / took:.0f}",
        *(f"{value:.1f}" for value in milliseconds.values()),
    )
    return Report((Table("From commit to queryable", COLUMNS, [row], NOTE),), figures)
