"""
How long a committed change takes to be on its topic and to be queryable: every step a process of its own.

Measured as it is, and beside a transaction that has written something and stays open.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from django.conf import settings

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
# A broker that was just started compiles its code for a minute, on as much of the machine as it can get.
WARM_UP_SECONDS = 60
QUICK_WARM_UP_SECONDS = 1
WAIT_SECONDS = 60
POLL_SECONDS = 0.002
# The watchers share the writer's interpreter: they get it soon.
SWITCH_SECONDS = 0.0005
MILLISECONDS = 1_000
# Moved in the transaction of the rows: what lies below is queryable. Index: primary key ("group", topic, partition).
STORED = 'SELECT partition, next_offset FROM auditlog_consumeroffset WHERE "group" = %s AND topic = %s'
IDLE = "CREATE TEMPORARY TABLE bench_idle (id integer)"
COLUMNS = ("", "until", "events", "rate/s", "p50 ms", "p90 ms", "p99 ms", "max ms")
NOTE = (
    f"From the return of a commit of {EVENTS_PER_COMMIT} rows until a consumer has the record, and until "
    "another connection sees it stored; asked every 2 ms."
)


@dataclass(slots=True)
class Watch:
    """
    What three threads note: when a row was committed, when its record came, and when each partition was stored how far.

    Each of them writes one of the three.
    """

    committed: dict[str, float] = field(default_factory=dict)
    # Partition, offset and time of each row's record.
    published: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    # By partition, in the order of time: the offsets below which all is stored, and when that was seen.
    stored: defaultdict[int, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))

    def is_published(self) -> bool:
        """Return whether all records came."""
        return len(self.published) >= len(self.committed)

    def is_stored(self) -> bool:
        """Return whether all records that came are stored."""
        last: dict[int, int] = {}
        for partition, offset, _ in list(self.published.values()):
            last[partition] = max(offset, last.get(partition, 0))
        return all(
            self.stored[partition] and self.stored[partition][-1][0] > offset for partition, offset in last.items()
        )

    def until_published(self) -> list[float]:
        """Return how many milliseconds each took, sorted."""
        return sorted((self.published[key][2] - at) * MILLISECONDS for key, at in self.committed.items())

    def until_stored(self) -> list[float]:
        """Return how many milliseconds each took, sorted."""
        return sorted((self._stored_at(key) - at) * MILLISECONDS for key, at in self.committed.items())

    def _stored_at(self, key: str) -> float:
        partition, offset, _ = self.published[key]
        steps = self.stored[partition]
        return steps[bisect_right(steps, (offset, inf))][1]


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
            stack.say("latency: warming up")
            _round(stack, count=EVENTS_PER_SECOND * (QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS))
            for name, beside in (("as it is", nullcontext()), ("beside an open transaction", _open_transaction(stack))):
                stack.say(f"latency: {EVENTS_PER_SECOND:,} events a second for {seconds} seconds, {name}")
                with beside:
                    figures[name] = _round(stack, count=EVENTS_PER_SECOND * seconds)
                rows += [_row(name, until, found) for until, found in figures[name].items()]
    finally:
        sys.setswitchinterval(interval)
    return Report((Table("From commit to the topic and to the read model", COLUMNS, rows, NOTE),), figures)


def _round(stack: Stack, *, count: int) -> dict[str, dict[str, Any]]:
    """Write, wait until all was seen in both places, and return how long it took until each."""
    watch = Watch()
    with _on_topic(stack, watch), _in_read_model(stack, watch):
        took = _write(watch, count=count)
        stack.wait_until(watch.is_published, what="all events are on the topic", seconds=WAIT_SECONDS)
        stack.wait_until(watch.is_stored, what="all events are queryable", seconds=WAIT_SECONDS)
    milliseconds = {"on the topic": watch.until_published(), "queryable": watch.until_stored()}
    return {until: _figures(found, took) for until, found in milliseconds.items()}


@contextmanager
def _open_transaction(stack: Stack) -> Iterator[None]:
    """Hold a transaction open that has a number, as one does that wrote."""
    with stack.connect(Role.OWNER) as owner, owner.transaction():
        owner.execute(IDLE)
        yield


@contextmanager
def _watching(look: Callable[[threading.Event], None]) -> Iterator[None]:
    finished = threading.Event()
    thread = threading.Thread(target=look, args=(finished,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


@contextmanager
def _in_read_model(stack: Stack, watch: Watch) -> Iterator[None]:
    with stack.connect(Role.READER) as reader, _watching(partial(_query, reader, watch)):
        yield


def _query(reader: psycopg.Connection[tuple[int, int]], watch: Watch, finished: threading.Event) -> None:
    known: dict[int, int] = {}
    with reader.cursor() as cursor:
        while not finished.wait(POLL_SECONDS):
            found = dict(cursor.execute(STORED, [settings.KAFKA_CONSUMER_GROUP, _topic()]).fetchall())
            now = time.perf_counter()
            for partition, following in found.items() - known.items():
                watch.stored[partition].append((following, now))
            known = found


@contextmanager
def _on_topic(stack: Stack, watch: Watch) -> Iterator[None]:
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "bench", "log_level": 2})
    try:
        partitions = [TopicPartition(_topic(), number) for number in range(PARTITIONS)]
        stack.wait_until(lambda: _at_end(consumer, partitions), what="the topic answers")
        consumer.assign(partitions)
        with _watching(partial(_poll, consumer, watch)):
            yield
    finally:
        consumer.close()


def _topic() -> str:
    return topics.row_topic(Audited._meta.label_lower)


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
        place = message.partition() or 0, message.offset() or 0, time.perf_counter()
        watch.published.setdefault((message.key() or b"").decode(), place)


def _write(watch: Watch, *, count: int) -> float:
    """Create rows at the rate; return the seconds that it took."""
    manager: Any = Audited._default_manager
    started = time.perf_counter()
    for number in range(0, count, EVENTS_PER_COMMIT):
        time.sleep(max(0.0, started + number / EVENTS_PER_SECOND - time.perf_counter()))
        instances = [new(Audited) for _ in range(EVENTS_PER_COMMIT)]
        manager.bulk_create(instances)
        now = time.perf_counter()
        watch.committed.update((str(instance.pk), now) for instance in instances)
    return time.perf_counter() - started


def _figures(found: list[float], took: float) -> dict[str, Any]:
    cuts = statistics.quantiles(found, n=100)
    return {
        "events": len(found),
        "events_per_second": len(found) / took,
        "milliseconds": {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "max": found[-1]},
    }


def _row(name: str, until: str, figures: dict[str, Any]) -> tuple[str, ...]:
    milliseconds = (f"{value:.1f}" for value in figures["milliseconds"].values())
    return name, until, f"{figures['events']:,}", f"{figures['events_per_second']:.0f}", *milliseconds
