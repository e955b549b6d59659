"""
How long a committed change takes to be on its topic and to be queryable: every step a process of its own.

Measured as it is, and beside a transaction that has written something and stays open.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from auditlog import topics
from auditlog.context import set_actor
from auditlog.roles import Role
from bench.domain import ACTOR
from bench.models import Audited
from bench.operations import new
from bench.report import Report, Table
from bench.stack import PARTITIONS, Stack
from devstack.errors import DevstackError

EVENTS_PER_SECOND = 1_000
EVENTS_PER_COMMIT = 5
SECONDS = 20
QUICK_SECONDS = 5
WARM_UP_EVENTS = 500
WAIT_SECONDS = 60
POLL_SECONDS = 0.002
# The watchers share the writer's interpreter: they get it soon.
SWITCH_SECONDS = 0.0005
MILLISECONDS = 1_000
# Index: auditlog_auditlog_object.
VISIBLE = "SELECT object_pk FROM auditlog_auditlog WHERE model = %s AND object_pk = ANY(%s)"
IDLE = "CREATE TEMPORARY TABLE bench_idle (id integer)"
COLUMNS = ("", "until", "events", "rate/s", "p50 ms", "p90 ms", "p99 ms", "max ms")
NOTE = (
    f"From the return of a commit of {EVENTS_PER_COMMIT} rows until a consumer has the record, and until "
    "the first query of another connection that finds the event; asked every 2 ms."
)


@dataclass(slots=True)
class Watch:
    """Keys of rows that were committed, and when each event was seen first. Safe for one writer and one reader."""

    committed: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    @property
    def milliseconds(self) -> list[float]:
        """How long each took, sorted."""
        return sorted((self.seen[key] - at) * MILLISECONDS for key, at in self.committed.items() if key in self.seen)

    def outstanding(self) -> list[str]:
        """Return the keys whose events nobody has seen."""
        return [key for key in list(self.committed) if key not in self.seen]

    def complete(self) -> bool:
        """Return whether all was seen."""
        return not self.outstanding()


def measure(stack: Stack, *, quick: bool) -> Report:
    """Write at a steady rate and watch the topic and the read model."""
    stack.start_kafka()
    seconds = QUICK_SECONDS if quick else SECONDS
    rows: list[tuple[str, ...]] = []
    figures: dict[str, Any] = {}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with (
            set_actor(ACTOR),
            stack.running("run_relay", role=Role.RELAY),
            stack.running("run_consumer", role=Role.CONSUMER),
        ):
            stack.say("latency: waiting for the first events")
            _round(stack, count=WARM_UP_EVENTS)
            for name, beside in (("as it is", nullcontext()), ("beside an open transaction", _open_transaction(stack))):
                stack.say(f"latency: {EVENTS_PER_SECOND:,} events a second for {seconds} seconds, {name}")
                with beside:
                    took, watches = _round(stack, count=EVENTS_PER_SECOND * seconds)
                figures[name] = {until: _figures(watch, took) for until, watch in watches.items()}
                rows += [_row(name, until, found) for until, found in figures[name].items()]
    finally:
        sys.setswitchinterval(interval)
    return Report((Table("From commit to the topic and to the read model", COLUMNS, rows, NOTE),), figures)


def _round(stack: Stack, *, count: int) -> tuple[float, dict[str, Watch]]:
    """Write, and wait until all was seen in both places; returns the seconds that writing took."""
    with _on_topic(stack) as published, _in_read_model(stack) as stored:
        watches = {"on the topic": published, "queryable": stored}
        took = _write(tuple(watches.values()), count=count)
        for until, watch in watches.items():
            stack.wait_until(watch.complete, what=f"all events are {until}", seconds=WAIT_SECONDS)
    return took, watches


@contextmanager
def _open_transaction(stack: Stack) -> Iterator[None]:
    """Hold a transaction open that has a number, as one does that wrote."""
    with stack.connect(Role.OWNER) as owner, owner.transaction():
        owner.execute(IDLE)
        yield


@contextmanager
def _watching(look: Callable[[Watch, threading.Event], None]) -> Iterator[Watch]:
    watch, finished = Watch(), threading.Event()
    thread = threading.Thread(target=look, args=(watch, finished), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        finished.set()
        thread.join()


@contextmanager
def _in_read_model(stack: Stack) -> Iterator[Watch]:
    with stack.connect(Role.READER) as reader, _watching(lambda *args: _query(reader, *args)) as watch:
        yield watch


def _query(reader: psycopg.Connection[tuple[str]], watch: Watch, finished: threading.Event) -> None:
    while not finished.wait(POLL_SECONDS):
        if outstanding := watch.outstanding():
            found = reader.execute(VISIBLE, [Audited._meta.label_lower, outstanding]).fetchall()
            now = time.perf_counter()
            watch.seen.update((key, now) for (key,) in found)


@contextmanager
def _on_topic(stack: Stack) -> Iterator[Watch]:
    topic = topics.row_topic(Audited._meta.label_lower)
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "bench", "log_level": 2})
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        stack.wait_until(lambda: _at_end(consumer, partitions), what="the topic answers")
        consumer.assign(partitions)
        with _watching(lambda *args: _poll(consumer, *args)) as watch:
            yield watch
    finally:
        consumer.close()


def _at_end(consumer: Consumer, partitions: list[TopicPartition]) -> bool:
    """Point to what comes next; False where a new partition has no leader yet."""
    try:
        for partition in partitions:
            partition.offset = consumer.get_watermark_offsets(partition)[1]
    except KafkaException:
        return False
    return True


def _poll(consumer: Consumer, watch: Watch, finished: threading.Event) -> None:
    while not finished.is_set():
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error() is not None:
            raise DevstackError(f"The consumer of the measurement: {message.error()}")
        watch.seen.setdefault((message.key() or b"").decode(), time.perf_counter())


def _write(watches: Sequence[Watch], *, count: int) -> float:
    """Create rows at the rate; return the seconds that it took."""
    manager: Any = Audited._default_manager
    started = time.perf_counter()
    for number in range(0, count, EVENTS_PER_COMMIT):
        time.sleep(max(0.0, started + number / EVENTS_PER_SECOND - time.perf_counter()))
        instances = [new(Audited) for _ in range(EVENTS_PER_COMMIT)]
        manager.bulk_create(instances)
        now = time.perf_counter()
        for watch in watches:
            watch.committed.update((str(instance.pk), now) for instance in instances)
    return time.perf_counter() - started


def _figures(watch: Watch, took: float) -> dict[str, Any]:
    found = watch.milliseconds
    cuts = statistics.quantiles(found, n=100)
    return {
        "events": len(found),
        "events_per_second": len(found) / took,
        "milliseconds": {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": found[-1]},
    }


def _row(name: str, until: str, figures: dict[str, Any]) -> tuple[str, ...]:
    milliseconds = (f"{value:.1f}" for value in figures["milliseconds"].values())
    return name, until, f"{figures['events']:,}", f"{figures['events_per_second']:.0f}", *milliseconds
