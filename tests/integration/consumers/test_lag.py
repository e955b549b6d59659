"""How far behind a consumer is, in records and in seconds, and how far ahead the audit log has partitions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from auditlog import partitions
from consumers.kafka import Source
from consumers.projector import Projector
from consumers.survey import Survey
from tests.conftest import WaitUntil
from tests.integration.consumers.test_kafka import Reader
from tests.integration.consumers.topics import Topic, events

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def topic() -> Iterator[Topic]:
    """A topic with two partitions."""
    made = Topic(partitions=2)
    made.create()
    yield made
    made.delete()


def fetch_all(source: Source, wait_until: WaitUntil, *, count: int) -> dict[object, int]:
    """Fetch records until there are so many, and return the offsets that follow them."""
    following: dict[object, int] = {}
    seen: list[object] = []

    def enough() -> bool:
        batch = source.fetch(rows=count, seconds=0.2)
        seen.extend(batch.records)
        following.update(batch.next_offsets())
        return len(seen) >= count

    wait_until(enough)
    return following


def test_the_lag_is_what_is_on_the_topic_and_not_stored(
    topic: Topic, projector: Projector, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.survey.SECONDS", 0)
    topic.produce(events(10))
    with closing(Reader(topic, projector)) as reader:
        following = fetch_all(reader.source, wait_until, count=10)
        assert reader.source.lag() == {topic.name: 10}
        Survey(reader.source, projector).look()
        assert REGISTRY.get_sample_value("auditlog_consumer_lag_events", {"topic": topic.name}) == 10
        shown = REGISTRY.get_sample_value("auditlog_consumer_partition_horizon_days")
        assert shown == pytest.approx(projector.partition_horizon_days(), abs=0.01)
        reader.source.advance(dict(following))  # type: ignore[arg-type]
        assert reader.source.lag() == {topic.name: 0}


def test_what_was_fetched_is_as_old_as_kafka_says_until_nothing_more_comes(
    topic: Topic, projector: Projector, wait_until: WaitUntil
) -> None:
    topic.produce(events(2))
    with closing(Reader(topic, projector)) as reader:
        assert reader.source.lag_seconds() == 0
        fetch_all(reader.source, wait_until, count=2)
        first = reader.source.lag_seconds()
        assert 0 < first < 120
        wait_until(lambda: reader.source.lag_seconds() > first)
        assert reader.source.fetch(rows=1, seconds=0).records == ()
        assert reader.source.lag_seconds() == 0


def test_the_horizon_is_that_of_the_partitions(projector: Projector) -> None:
    now = datetime.now(UTC)
    (end,) = partitions.months(start=now, count=5)[-1:]
    days = Projector(group="test", clock=lambda: now).partition_horizon_days()
    assert days == pytest.approx((end - now) / timedelta(days=1))
