"""The producer by itself: once it has reported a failure, nothing more leaves it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from publishers import kafka
from publishers.kafka import BrokersUnavailable, Publisher
from publishers.outbox import Row
from publishers.outcomes import Batch, Refused, Unknown
from tests.conftest import WaitUntil
from tests.integration.publishers.topics import Broker

AT = "2026-11-23T00:00:00.000000Z"


def batch_for(topic: str, *values: str, key: str = "17") -> Batch:
    """Return events of one key."""
    return Batch([Row("(0,1)", n, 1, topic, key, f"e{n}", "x", AT, 1, None, None, v) for n, v in enumerate(values)])


def keys_for(topic: str, *values: str) -> Batch:
    """Return events of a key each."""
    return Batch([Row("(0,1)", n, 1, topic, f"{n}", f"e{n}", "x", AT, 1, None, None, v) for n, v in enumerate(values)])


def serve_until(happened: Callable[[], bool], publisher: Publisher, wait_until: WaitUntil) -> None:
    """Take in reports until something has happened."""

    def look() -> bool:
        publisher.serve(0.05)
        return happened()

    wait_until(look)


def delivered(publisher: Publisher, batch: Batch, wait_until: WaitUntil) -> list[str]:
    """Wait for all reports of a batch and return what was published."""
    serve_until(lambda: not batch.waiting, publisher, wait_until)
    return [row.event_id for row in batch.published]


def prove(publisher: Publisher, topic: str, wait_until: WaitUntil) -> None:
    """Let the partition of the key have something of this producer."""
    batch = batch_for(topic, "{}")
    publisher.send(batch, may_go_on=lambda: True)
    assert delivered(publisher, batch, wait_until) == ["e0"]


@pytest.fixture
def publisher(kafka_bootstrap: str) -> Publisher:
    """A producer."""
    return Publisher(connection={"bootstrap.servers": kafka_bootstrap}, source="/clinic")


def test_i4_nothing_leaves_a_producer_that_reported_a_failure_until_it_is_made_anew(
    broker: Broker, topic: str, topic_prefix: str, publisher: Publisher, wait_until: WaitUntil
) -> None:
    gone = f"{topic_prefix}.gone"
    broker.create(gone, partitions=1)
    before = batch_for(gone, "{}")
    publisher.send(before, may_go_on=lambda: True)
    assert delivered(publisher, before, wait_until) == ["e0"]
    broker.delete(gone)
    failed = batch_for(gone, "{}")
    publisher.send(failed, may_go_on=lambda: True)
    assert delivered(publisher, failed, wait_until) == []
    assert [row.event_id for row, _ in failed.failures] == ["e0"]
    assert publisher.broken
    following = batch_for(topic, "{}")
    publisher.send(following, may_go_on=lambda: True)
    assert (following.waiting, following.failures) == (0, [])
    publisher.restart(wait=True)
    publisher.send(following, may_go_on=lambda: True)
    assert delivered(publisher, following, wait_until) == ["e0"]


def test_i4_nothing_is_sent_after_the_lease_is_over(broker: Broker, topic: str, publisher: Publisher) -> None:
    answers = iter([True, True, False])
    batch = keys_for(topic, *["{}"] * 5)
    publisher.send(batch, may_go_on=lambda: next(answers))
    assert batch.waiting + len(batch.published) == 2


def test_i4_a_key_has_one_event_under_way_until_its_partition_has_something_of_the_producer(
    broker: Broker, topic: str, publisher: Publisher, wait_until: WaitUntil
) -> None:
    for _ in range(2):
        first = batch_for(topic, "{}", "{}", "{}")
        first.rows += batch_for(topic, "{}", "{}", key="other").rows
        publisher.send(first, may_go_on=lambda: True)
        assert delivered(publisher, first, wait_until) == ["e0", "e0"]
        following = batch_for(topic, "{}", "{}", "{}")
        publisher.send(following, may_go_on=lambda: True)
        assert delivered(publisher, following, wait_until) == ["e0", "e1", "e2"]
        publisher.restart(wait=False)  # a new producer begins anew
    # Once all partitions have something, a key that is new may have several.
    publisher.topics(timeout_seconds=10)
    everywhere = keys_for(topic, *["{}"] * 50)
    publisher.send(everywhere, may_go_on=lambda: True)
    assert len(delivered(publisher, everywhere, wait_until)) == 50
    fresh = batch_for(topic, "{}", "{}", key="fresh")
    publisher.send(fresh, may_go_on=lambda: True)
    assert delivered(publisher, fresh, wait_until) == ["e0", "e1"]


def test_i4_a_refused_record_takes_those_behind_it_along(
    broker: Broker, topic_prefix: str, publisher: Publisher, wait_until: WaitUntil
) -> None:
    narrow = f"{topic_prefix}.narrow"
    broker.create(narrow, partitions=1, config={"max.message.bytes": "1000"})
    values = ["{}", "{}", random.Random(7).randbytes(5_000).hex(), *["{}"] * 50]
    prove(publisher, narrow, wait_until)
    first = batch_for(narrow, *values)
    publisher.send(first, may_go_on=lambda: True)
    delivered(publisher, first, wait_until)
    assert {type(failure) for _, failure in first.failures} == {Unknown}, "nobody knows which one it was"
    publisher.restart(wait=True)
    alone = keys_for(narrow, *values)
    publisher.send(alone, may_go_on=lambda: True)
    # What is queued behind it is dropped; up to five requests that were on their way may never be reported.
    serve_until(lambda: alone.waiting <= 5, publisher, wait_until)
    assert publisher.broken
    assert [row.event_id for row in alone.published] == ["e0", "e1"]
    assert [(row.event_id, failure) for row, failure in alone.failures if isinstance(failure, Refused)] == [
        ("e2", Refused("MSG_SIZE_TOO_LARGE"))
    ]
    publisher.restart(wait=False)
    assert [record.event_id for record in broker.read(narrow)][-2:] == ["e0", "e1"]


def test_an_event_too_large_for_the_client_holds_its_key_and_nothing_else(
    broker: Broker, topic: str, publisher: Publisher, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kafka.PROPERTIES, "message.max.bytes", 2_000)
    publisher.restart(wait=False)
    prove(publisher, topic, wait_until)
    batch = batch_for(topic, "{}", "x" * 3_000, "{}")
    batch.rows += batch_for(topic, "{}", key="other").rows
    publisher.send(batch, may_go_on=lambda: True)
    assert delivered(publisher, batch, wait_until) == ["e0", "e0"]
    assert [(row.event_id, failure) for row, failure in batch.failures] == [("e1", Refused("MSG_SIZE_TOO_LARGE"))]
    assert not publisher.broken


def test_a_broker_that_does_not_answer_is_an_error_of_its_own() -> None:
    publisher = Publisher(connection={"bootstrap.servers": "127.0.0.1:1"}, source="/clinic")
    with pytest.raises(BrokersUnavailable, match="No Kafka broker answers"):
        publisher.topics(timeout_seconds=0.2)
