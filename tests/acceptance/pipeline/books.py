"""
What committed, what stands on the topics and what is stored, counted without the service's own code.

Reads the tables as their owner, and the topics from their first record with a client of the tests' own.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from psycopg.rows import dict_row

from tests.acceptance.pipeline.services import DEADLINE_SECONDS, POLL_SECONDS

COMMITTED = """
SELECT event_id::text AS id FROM auditlog_outboxevent
UNION ALL SELECT unnest(event_ids)::text FROM auditlog_outboxledger
"""
COUNTS = """
SELECT (SELECT count(*) FROM auditlog_outboxevent) AS pending,
       (SELECT coalesce(sum(cardinality(event_ids)), 0) FROM auditlog_outboxledger)::bigint AS published,
       (SELECT count(*) FROM auditlog_auditlog) + (SELECT count(*) FROM auditlog_contentchunk) AS stored
"""
TIMEOUT_SECONDS = 30
ROWS_AT_ONCE = 5_000


class Counts(NamedTuple):
    """How many events are where."""

    pending: int
    published: int
    stored: int


class Published(NamedTuple):
    """A record of a topic."""

    topic: str
    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    value: str

    @property
    def event(self) -> dict[str, Any]:
        """The event."""
        found: dict[str, Any] = json.loads(self.value)
        return found

    @property
    def event_id(self) -> str:
        """The event's id as its header has it."""
        return self.headers["ce_id"]


class Books:
    """The books of one deployment."""

    def __init__(self, *, url: str, bootstrap: str, prefix: str) -> None:
        """`url` is that of the tables' owner."""
        self._url, self._bootstrap, self._prefix = url, bootstrap, prefix
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def query(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        return self._execute(statement, parameters).fetchall()

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run a statement that returns nothing."""
        self._execute(statement, parameters)

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> psycopg.Cursor[dict[str, Any]]:
        if self._connection is None:
            self._connection = psycopg.connect(self._url, autocommit=True, row_factory=dict_row)
        return self._connection.execute(statement.encode(), parameters or None)

    def close(self) -> None:
        """Give the connection up; the next query makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def counts(self) -> Counts:
        """Return how many events are where."""
        return Counts(**self.query(COUNTS)[0])

    def settled(self) -> bool:
        """Tell whether everything that committed was published and stored."""
        counts = self.counts()
        return counts.pending == 0 and counts.published == counts.stored

    def committed(self) -> list[str]:
        """Return the ids of all events that ever committed."""
        return [row["id"] for row in self.query(COMMITTED)]

    def stored(self) -> list[dict[str, Any]]:
        """Return the audit log in the order of the outbox."""
        return self.query("SELECT *, event_id::text AS id FROM auditlog_auditlog ORDER BY sequence")

    def rows(self, table: str) -> dict[int, dict[str, Any]]:
        """Return the rows of a table of the domain by their keys, with values as JSON has them."""
        rows = self.query(f"SELECT t.id, row_to_json(t) AS row FROM {table} t ORDER BY t.id")
        return {row["id"]: row["row"] for row in rows}

    def published(self) -> list[Published]:
        """Return every record of the topics, partition by partition in the order of offsets."""
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": f"{self._prefix}-books", "enable.auto.commit": False}
        )
        try:
            ends = self._ends(consumer)
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in ends])
            return sorted(map(self.kept, _until(consumer, ends)), key=lambda record: record[:3])
        finally:
            consumer.close()

    def kept(self, record: Published) -> Published:
        """Return what is kept of a record."""
        return record

    def _ends(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        """Return the end of each partition that holds anything; a broker that has just started is asked again."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                return self._current_ends(consumer)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def _current_ends(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        topics = consumer.list_topics(timeout=TIMEOUT_SECONDS).topics
        found = {
            (name, number): consumer.get_watermark_offsets(TopicPartition(name, number), timeout=TIMEOUT_SECONDS)[1]
            for name, topic in topics.items()
            if name.startswith(f"{self._prefix}.")
            for number in topic.partitions
        }
        return {place: end for place, end in found.items() if end}


def _until(consumer: Consumer, ends: dict[tuple[str, int], int]) -> Iterator[Published]:
    waiting = dict(ends)
    while waiting:
        messages = consumer.consume(ROWS_AT_ONCE, timeout=1)
        for message in messages:
            assert message.error() is None, message.error()
            record = _as_published(message)
            yield record
            if record.offset + 1 >= ends[record.topic, record.partition]:
                waiting.pop((record.topic, record.partition), None)


def _as_published(message: Message) -> Published:
    topic, number, offset, key, value = (
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
    )
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    assert topic is not None
    assert number is not None
    assert offset is not None
    headers: Any = message.headers() or ()
    # A test may have put something on the topic that is no event.
    text = value.decode(errors="backslashreplace")
    return Published(topic, number, offset, key.decode(), {k: v.decode() for k, v in headers}, text)


def assert_balanced(books: Books) -> list[dict[str, Any]]:
    """
    Check that the same events committed, were published and are stored, each stored once, those of a key in order.

    Returns the audit log.
    """
    committed, published, stored = Counter(books.committed()), books.published(), books.stored()
    assert committed, "nothing happened"
    assert committed.most_common(1)[0][1] == 1, "an event was acknowledged twice"
    assert set(committed) == {record.event_id for record in published}
    assert committed == Counter(row["id"] for row in stored)
    _assert_identical_duplicates(published)
    _assert_ordered(published)
    return stored


def _assert_identical_duplicates(published: Iterable[Published]) -> None:
    said = defaultdict(set)
    for record in published:
        said[record.event_id].add((record.topic, record.partition, record.key, record.value))
        assert record.event["audit"]["event_id"] == record.event_id
        assert record.event["audit"]["object_pk"] == record.key
    assert {len(versions) for versions in said.values()} == {1}


def _assert_ordered(published: Iterable[Published]) -> None:
    """First appearances of the events of an object stand in the order in which they committed."""
    seen: set[str] = set()
    sequences = defaultdict(list)
    for record in published:
        if record.event_id not in seen:
            seen.add(record.event_id)
            sequences[record.topic, record.key].append(record.event["source"]["sequence"])
    out_of_order = [place for place, found in sequences.items() if found != sorted(found)]
    assert out_of_order == []
