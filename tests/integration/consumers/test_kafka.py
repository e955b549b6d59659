"""The loop against a real broker: positions come from the database, nothing is skipped or stored twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Consumer, TopicPartition
from django.conf import settings
from django.db import connections
from django.utils import timezone
from prometheus_client import REGISTRY

from auditlog.models import AuditLog, ConsumerOffset
from auditlog.roles import Role
from consumers.kafka import Source, TopicReader
from consumers.loop import Loop, locator
from consumers.models import DeadLetter
from consumers.projector import Projector
from consumers.records import Batch, Partition
from tests.integration.consumers import foreign
from tests.integration.consumers.books import acknowledge, reconciled
from tests.integration.consumers.conftest import GROUP, acting_as, stored_ids
from tests.integration.consumers.topics import Topic, events, ids_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
DEADLINE_SECONDS = 40


class Until(threading.Event):
    """A stop signal that comes when something has happened; fails the test when that takes too long."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        super().__init__()
        self._happened = happened
        self._deadline = time.monotonic() + DEADLINE_SECONDS

    def is_set(self) -> bool:
        """Look."""
        assert time.monotonic() < self._deadline, "It did not happen in time."
        return self._happened()


@dataclass
class Reader:
    """A consumer of one topic."""

    topic: Topic
    projector: Projector
    group: str = GROUP
    batch_rows: int = 500
    protocol: str = "classic"
    properties: Mapping[str, Any] = field(default_factory=dict)
    source: Source = field(init=False)

    def __post_init__(self) -> None:
        # Group names are the broker's: those of other tests must not be met.
        self.source = Source(
            connection=settings.KAFKA_CONNECTION,
            group=f"{self.topic.name}-{self.group}",
            locate=locator(self.projector, threading.Event()),
            protocol=self.protocol,
            properties={"topic.metadata.refresh.interval.ms": 500, **self.properties},
        )
        self.source.subscribe([self.topic.name])

    def run_until(self, happened: Callable[[], bool]) -> None:
        """Consume until something has happened."""
        Loop(self.source, self.projector, Until(happened), self.batch_rows, 0.02).run()

    def close(self) -> None:
        """Leave the group."""
        self.source.close()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> Iterator[Topic]:
    """A topic with as many partitions as the test asks for."""
    made = Topic(partitions=getattr(request, "param", 1))
    made.create()
    yield made
    made.delete()


def stored_count() -> int:
    """Return how many events the read model holds."""
    return AuditLog.objects.using("default").count()


def next_offsets(topic: Topic) -> list[int]:
    """Return the stored offset of each partition that has one."""
    rows = ConsumerOffset.objects.using("default").filter(topic=topic.name, group=GROUP).order_by("partition")
    return list(rows.values_list("next_offset", flat=True))


@pytest.mark.parametrize("topic", [3], indirect=True)
def test_a_new_partition_is_read_from_its_beginning(topic: Topic, projector: Projector) -> None:
    values = events(30)
    topic.produce(values)
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: stored_count() == 30)
    assert sorted(stored_ids()) == sorted(ids_of(values))
    assert next_offsets(topic) == [10, 10, 10]


def test_records_become_rows_in_the_order_of_their_partition(topic: Topic, projector: Projector) -> None:
    values = events(50)
    topic.produce(values)
    with closing(Reader(topic, projector, batch_rows=7)) as reader:
        reader.run_until(lambda: stored_count() == 50)
    assert stored_ids() == ids_of(values)


def test_positions_come_from_the_database_and_not_from_kafka(topic: Topic, projector: Projector) -> None:
    values = events(10)
    topic.produce(values)
    liar = Consumer({**settings.KAFKA_CONNECTION, "group.id": f"{topic.name}-{GROUP}", "enable.auto.commit": False})
    liar.commit(offsets=[TopicPartition(topic.name, 0, 8)], asynchronous=False)
    liar.close()
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: stored_count() == 10)
    with closing(Reader(topic, projector)) as reader:
        topic.produce(events(1))
        reader.run_until(lambda: stored_count() == 11)
    assert next_offsets(topic) == [11]


def test_kafka_learns_the_offsets_for_lag_tools(topic: Topic, projector: Projector) -> None:
    topic.produce(events(4))

    def committed() -> bool:
        at = reader.source._consumer.committed([TopicPartition(topic.name, 0)], timeout=5)
        return bool(at[0].offset == 4)

    with closing(Reader(topic, projector)) as reader:
        reader.run_until(committed)


def test_a_consumer_that_leaves_tells_kafka_what_it_stored_last(topic: Topic, projector: Projector) -> None:
    with closing(Reader(topic, projector)) as reader:
        topic.produce(events(4))
        # Less than the time after which it would be told anyway.
        reader.run_until(lambda: stored_count() == 4)
    with closing(Consumer({**settings.KAFKA_CONNECTION, "group.id": f"{topic.name}-{GROUP}"})) as asker:
        assert asker.committed([TopicPartition(topic.name, 0)], timeout=10)[0].offset == 4


def test_i6_a_topic_that_another_group_reads_again_changes_nothing(topic: Topic, projector: Projector) -> None:
    topic.produce([*events(40), b"malformed"])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [41])
    before = list(AuditLog.objects.using("default").order_by("event_id").values())
    again = Projector(group="again")
    with closing(Reader(topic, again, group="again")) as reader:
        reader.run_until(lambda: again.positions([Partition(topic.name, 0)]) == {Partition(topic.name, 0): 41})
    assert list(AuditLog.objects.using("default").order_by("event_id").values()) == before
    assert DeadLetter.objects.using("default").count() == 1


def test_i7_a_malformed_record_stops_nobody(topic: Topic, projector: Projector) -> None:
    values = events(6)
    topic.produce([*values[:3], b"{", None, *values[3:]])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [8])
    assert stored_ids() == ids_of(values)
    letters = DeadLetter.objects.using("default").order_by("offset").values_list("topic", "offset", "reason")
    assert list(letters) == [(topic.name, 3, "invalid_json"), (topic.name, 4, "empty_value")]


def test_i7_headers_whose_names_are_no_text_stop_nobody(topic: Topic, projector: Projector) -> None:
    values = events(30)
    for value in values[:20]:
        foreign.produce(topic.name, json.dumps(value).encode(), header=b"na\xffme")
    topic.produce(values[20:])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [30])
    assert stored_ids() == ids_of(values)[20:]
    letters = list(DeadLetter.objects.using("default").order_by("offset"))
    assert [(letter.offset, letter.reason, letter.headers) for letter in letters] == [
        (offset, "invalid_utf8", []) for offset in range(20)
    ]
    assert bytes(letters[0].value or b"") == json.dumps(values[0]).encode()


def test_a_database_that_cannot_store_is_waited_for(topic: Topic, projector: Projector) -> None:
    values = events(25)
    topic.produce(values)
    unavailable = _unavailable_count()

    def recovered() -> bool:
        if _unavailable_count() > unavailable + 2:
            _allow_inserts(allowed=True)
        return stored_count() == 25

    _allow_inserts(allowed=False)
    try:
        with closing(Reader(topic, projector, batch_rows=10)) as reader:
            reader.run_until(recovered)
    finally:
        _allow_inserts(allowed=True)
    assert stored_ids() == ids_of(values)


def test_a_batch_that_was_given_up_is_read_again(topic: Topic, projector: Projector) -> None:
    values = events(5)
    topic.produce(values)
    unavailable = _unavailable_count()
    _allow_inserts(allowed=False)
    with closing(Reader(topic, projector, batch_rows=2)) as reader:
        try:
            reader.run_until(lambda: _unavailable_count() > unavailable)
        finally:
            _allow_inserts(allowed=True)
        reader.run_until(lambda: stored_count() == 5)
    assert stored_ids() == ids_of(values)


def test_i6_a_consumer_that_was_overtaken_reads_on_where_the_other_stopped(
    topic: Topic, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It does not look where the database stands: its batch tells it.
    monkeypatch.setattr("consumers.survey.SECONDS", 3_600)
    values = events(9)
    topic.produce(values[:6])
    at = Partition(topic.name, 0)
    with closing(Reader(topic, projector)) as reader:
        batch = Batch(())
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not batch.records and time.monotonic() < deadline:
            batch = reader.source.fetch(rows=2, seconds=0.5)
        # Another one, which holds the partition by now, stores more of it than this one has.
        assert projector.store(Batch(batch.records, {at: None})).events == len(batch.records) > 0
        topic.produce(values[6:])
        reader.run_until(lambda: stored_count() == 9)
    assert stored_ids() == ids_of(values)
    assert next_offsets(topic) == [9]


def made_anew(topic: Topic, projector: Projector, values: list[dict[str, Any]]) -> None:
    """Let a topic be read to offset 5, deleted, and made anew with these events."""
    topic.produce(events(5))
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: stored_count() == 5)
    topic.delete()
    with closing(TopicReader(connection=settings.KAFKA_CONNECTION)) as reading:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while reading.bounds(topic.name):
            assert time.monotonic() < deadline, "The topic stays."
    topic.create()
    topic.produce(values)


def test_a_topic_made_anew_that_is_shorter_than_the_stored_offset_stops_its_partition(
    topic: Topic, projector: Projector
) -> None:
    made_anew(topic, projector, events(4))
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: _stopped(topic, 0) == 1)
    assert (stored_count(), next_offsets(topic)) == (5, [5])


def test_what_a_topic_made_anew_holds_before_the_stored_offset_is_named_as_lost_and_restored(
    topic: Topic, projector: Projector
) -> None:
    """Offsets begin again, and nothing that Kafka says to a consumer tells: the loss proof does."""
    before = timezone.now()
    values = events(8)
    with acting_as(Role.OWNER, alias="default"):
        acknowledge(*map(UUID, ids_of(values)), at=before, topic=topic.name)
    made_anew(topic, projector, values)
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [8])
    assert stored_count() == 8
    with acting_as(Role.READER, alias="default"):
        report, code = reconciled()
    assert (report["missing"], code) == (sorted(ids_of(values[:5])), 1)
    with acting_as(Role.RELAY, alias="default"):
        report, code = reconciled("--repair", "--reason", "the topic was made anew")
    assert (sorted(report["restored"]["read_model"]), code) == (sorted(ids_of(values[:5])), 0)
    assert set(ids_of(values)) <= set(stored_ids())


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_a_stored_offset_that_the_topic_lost_stops_its_partition_and_no_other(
    topic: Topic, projector: Projector
) -> None:
    topic.produce(events(5), partition=0)
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: stored_count() == 5)
    topic.produce(events(5), partition=0)
    topic.truncate(partition=0, before=8)
    healthy = events(3)
    topic.produce(healthy, partition=1)
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: stored_count() == 8 and _stopped(topic, 0) == 1)
    assert stored_ids()[5:] == ids_of(healthy)
    assert next_offsets(topic) == [5, 3]
    assert _stopped(topic, 0) is None, "the one who takes over says it anew"


def test_a_topic_that_appears_later_is_said_to_be_missing_and_found(
    projector: Projector, caplog: pytest.LogCaptureFixture
) -> None:
    topic = Topic()
    reader = Reader(topic, projector)
    # Its own name, and not the pattern of what it may be moved to.
    reader.run_until(lambda: bool(missing(caplog)))
    reader.source.fetch(rows=1, seconds=1)
    assert missing(caplog) == [topic.name]
    topic.create()
    topic.produce(events(3))
    with closing(reader):
        reader.run_until(lambda: stored_count() == 3)
    assert missing(caplog) == [topic.name]
    topic.delete()


def missing(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the topics that were said to be missing."""
    said: list[Any] = [entry.msg for entry in caplog.records]
    return [line["topic"] for line in said if isinstance(line, dict) and line["event"] == "consumer.topic_missing"]


def test_a_topic_is_followed_to_where_it_was_moved(topic: Topic, projector: Projector) -> None:
    moved, values = Topic(f"{topic.name}.v2", partitions=3), events(9)
    topic.produce(values[:3])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: stored_count() == 3)
        moved.create()
        moved.produce(values[3:6], partition=2)
        topic.produce(values[6:])
        reader.run_until(lambda: stored_count() == 9)
    assert sorted(stored_ids()) == sorted(ids_of(values))
    assert next_offsets(topic) == [6]
    moved.delete()


def _stopped(topic: Topic, partition: int) -> float | None:
    labels: dict[str, Any] = {"topic": topic.name, "partition": str(partition)}
    return REGISTRY.get_sample_value("auditlog_consumer_partition_stopped", labels)


def _unavailable_count() -> float:
    return REGISTRY.get_sample_value("auditlog_consumer_database_unavailable_total") or 0.0


def _allow_inserts(*, allowed: bool) -> None:
    with connections["default"].cursor() as cursor:
        verb, preposition = ("GRANT", "TO") if allowed else ("REVOKE", "FROM")
        cursor.execute(f"{verb} INSERT ON auditlog_auditlog {preposition} auditlog_consumer")
