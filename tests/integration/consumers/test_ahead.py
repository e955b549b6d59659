"""While a backlog is worked off, the next batch is read before the last one is stored, and nothing of it is skipped."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import ClassVar

import pytest

from consumers.projector import Projector, Readable
from consumers.records import Batch, Partition, Record
from tests.integration.consumers.conftest import GROUP, stored_ids
from tests.integration.consumers.test_kafka import Reader, next_offsets, stored_count
from tests.integration.consumers.topics import Topic, events, ids_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


class Watched(Projector):
    """Notes who reads."""

    readers: ClassVar[list[str]] = []

    def read(self, records: Sequence[Record]) -> Readable:
        """Read as ever."""
        self.readers.append(threading.current_thread().name)
        return super().read(records)


@pytest.fixture
def topic() -> Iterator[Topic]:
    """A topic of one partition."""
    made = Topic()
    made.create()
    yield made
    made.delete()


def test_a_backlog_is_read_ahead_and_the_end_of_a_topic_is_not(topic: Topic, projector: Projector) -> None:
    values = events(41)
    topic.produce(values)
    Watched.readers.clear()
    with closing(Reader(topic, Watched(group=GROUP), batch_rows=4)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [41])
        assert any(name.startswith("read-ahead") for name in Watched.readers)
        Watched.readers.clear()
        topic.produce(events(3))
        reader.run_until(lambda: next_offsets(topic) == [44])
    assert set(Watched.readers) == {threading.current_thread().name}
    assert stored_ids()[:41] == ids_of(values)


def test_i6_what_was_read_ahead_when_a_loop_ended_is_not_skipped(topic: Topic, projector: Projector) -> None:
    values = events(30)
    topic.produce(values)
    with closing(Reader(topic, projector, batch_rows=5)) as reader:
        # Each time with a batch in hand that is not stored.
        for batches in range(1, 6):
            reader.run_until(lambda batches=batches: stored_count() >= 5 * batches)  # type: ignore[misc]
        reader.run_until(lambda: next_offsets(topic) == [30])
    assert stored_ids() == ids_of(values)


def test_i6_a_batch_that_was_read_ahead_is_not_stored_where_the_one_before_it_was_lost(
    topic: Topic, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.survey.SECONDS", 3_600)
    values = events(30)
    topic.produce(values)
    at = Partition(topic.name, 0)
    seen: list[Record] = []

    class Overtaken(Watched):
        """Another consumer stores the first two records of the second batch before it is stored."""

        def store(self, batch: Batch, *, readable: Readable | None = None) -> object:  # type: ignore[override]
            # Kafka's first answer may hold fewer records than a batch has room for.
            if batch.expected[at] and len(batch.records) > 2 and not seen:
                seen.extend(batch.records)
                projector.store(Batch(batch.records[:2], batch.expected))
            return super().store(batch, readable=readable)

    with closing(Reader(topic, Overtaken(group=GROUP), batch_rows=5)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [30])
    assert seen
    assert stored_ids() == ids_of(values)
