"""Consumers of one group share the partitions by either protocol, whoever comes, goes, dies or comes too late."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from django.conf import settings

from auditlog.models import AuditLog
from consumers.faults import ClientFailed, OffsetConflict
from consumers.kafka.source import GROUP_SUFFIX, Source
from consumers.projector import Projector
from consumers.records import Batch, Partition
from tests.integration.consumers.conftest import stored_ids
from tests.integration.consumers.processes import DEADLINE_SECONDS, ConsumerProcess, consumer, environment, wait_until
from tests.integration.consumers.test_kafka import Reader, next_offsets
from tests.integration.consumers.topics import Topic, events, ids_of, new_prefix

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "audit"]), pytest.mark.processes]
both_protocols = pytest.mark.parametrize("protocol", ["classic", "consumer"])


@pytest.fixture
def prefix() -> str:
    """A prefix of topics of the test's own."""
    return new_prefix()


@pytest.fixture
def topic(prefix: str, read_model: None) -> Iterator[Topic]:
    """The one topic that every consumer reads, whatever models are registered."""
    made = Topic(name=f"{prefix}.auditlog.system.events", partitions=6)
    made.create()
    yield made
    made.delete()


def stored_count() -> int:
    """Return how many events the read model holds."""
    return AuditLog.objects.using("default").count()


def has_partitions(process: ConsumerProcess) -> bool:
    """Tell whether a consumer was given any."""
    return re.search(r'"partitions": ?\["', process.text()) is not None


@both_protocols
def test_i6_consumers_that_come_and_go_store_each_event_once(
    topic: Topic, prefix: str, tmp_path: Path, protocol: str
) -> None:
    """Ten join; two are killed, eight are asked to leave; meanwhile events come."""
    values = events(1_100)
    variables = environment(prefix=prefix, CONSUMER_BATCH_ROWS="10", KAFKA_GROUP_PROTOCOL=protocol)
    with ExitStack() as stack:
        staying = stack.enter_context(consumer(tmp_path / "staying.log", variables))
        wait_until(lambda: has_partitions(staying), of=staying)
        for number in range(5):
            topic.produce(values[number * 200 : number * 200 + 200])
            one = stack.enter_context(consumer(tmp_path / f"{number}a.log", variables))
            other = stack.enter_context(consumer(tmp_path / f"{number}b.log", variables))
            wait_until(partial(has_partitions, one), of=one)
            wait_until(partial(has_partitions, other), of=other)
            if number in {1, 3}:
                one.kill()
            else:
                assert one.terminate() == 0
            assert other.terminate() == 0
        topic.produce(values[1_000:])
        wait_until(lambda: stored_count() >= 1_100, of=staying)
        assert staying.terminate() == 0
    assert sorted(stored_ids()) == sorted(ids_of(values))


@both_protocols
def test_i6_who_did_not_poll_in_time_stores_nothing_and_joins_again(
    topic: Topic, projector: Projector, protocol: str
) -> None:
    values = events(60)
    topic.produce(values, partition=0)
    late = {"max.poll.interval.ms": 6_000} | ({"session.timeout.ms": 6_000} if protocol == "classic" else {})
    with closing(Reader(topic, projector, protocol=protocol, properties=late)) as zombie:
        batch = Batch(())
        while not batch.records:
            batch = zombie.source.fetch(rows=20, seconds=0.5)
        with closing(Reader(topic, projector, protocol=protocol)) as other:
            other.run_until(lambda: next_offsets(topic)[:1] == [60])
        with pytest.raises(OffsetConflict):
            projector.store(batch)
        topic.produce(events(5), partition=0)
        zombie.run_until(lambda: next_offsets(topic)[:1] == [65])
    assert stored_ids()[:60] == ids_of(values)
    assert stored_count() == 65


def test_partitions_that_were_lost_while_all_were_paused_are_read_when_they_come_back(
    topic: Topic, projector: Projector
) -> None:
    """The process stood still in a batch, and its transaction was ended meanwhile: it waits for the database."""
    topic.produce(events(10), partition=0)
    late = {"max.poll.interval.ms": 6_000, "session.timeout.ms": 6_000}
    with closing(Reader(topic, projector, properties=late)) as zombie:
        zombie.run_until(lambda: next_offsets(topic)[:1] == [10])
        zombie.source.pause()
        with closing(Reader(topic, projector)) as other:
            topic.produce(events(10), partition=0)
            other.run_until(lambda: next_offsets(topic)[:1] == [20])
            # It gets none back before the other one has heard of it.
            deadline = time.monotonic() + DEADLINE_SECONDS
            while zombie.source.partitions:
                assert time.monotonic() < deadline, "The group waits for it."
                zombie.source.idle(seconds=0.1)
            zombie.source.resume()
        topic.produce(events(10), partition=0)
        zombie.run_until(lambda: next_offsets(topic)[:1] == [30])
    assert stored_count() == 30


def test_i6_consumers_of_both_protocols_run_side_by_side_while_one_replaces_the_other(
    topic: Topic, prefix: str, tmp_path: Path
) -> None:
    """Replica by replica, as a rolling update does it: all of one protocol, both, all of the other, and back."""
    values = events(1_200)
    with ExitStack() as stack:

        def start(name: str, protocol: str) -> ConsumerProcess:
            variables = environment(prefix=prefix, CONSUMER_BATCH_ROWS="10", KAFKA_GROUP_PROTOCOL=protocol)
            process = stack.enter_context(consumer(tmp_path / f"{name}.log", variables))
            wait_until(lambda: has_partitions(process), of=process)
            return process

        running = [start("a", "classic"), start("b", "classic")]
        for step, protocol in enumerate(["consumer", "consumer", "classic", "classic"]):
            topic.produce(values[step * 300 : step * 300 + 300])
            running.append(start(f"{step}", protocol))
            assert running.pop(0).terminate() == 0
        wait_until(lambda: stored_count() >= 1_200, of=running[0])
        assert [process.terminate() for process in running] == [0, 0]
    assert sorted(stored_ids()) == sorted(ids_of(values))


def is_given_partitions(group: str, admin: AdminClient) -> bool:
    """Tell whether the broker has decided what the members of a group read."""
    (described,) = admin.describe_consumer_groups([group]).values()
    try:
        members = described.result(DEADLINE_SECONDS).members
    except KafkaException:  # the group is not there yet
        return False
    return any(member.assignment.topic_partitions for member in members)


@both_protocols
def test_who_leaves_before_it_took_its_partitions_asks_no_database_for_them(topic: Topic, protocol: str) -> None:
    asked: list[Collection[Partition]] = []
    source = Source(connection=settings.KAFKA_CONNECTION, group=topic.name, locate=asked.append, protocol=protocol)
    source.subscribe([topic.name])
    admin = AdminClient({**settings.KAFKA_CONNECTION})
    wait_until(lambda: is_given_partitions(topic.name + GROUP_SUFFIX[protocol], admin))
    # An answer that comes after that of the group.
    source.check(timeout_seconds=DEADLINE_SECONDS)
    source.close()
    assert asked == []


def test_a_client_that_cannot_go_on_ends_its_consumer(topic: Topic, projector: Projector) -> None:
    def joined(*readers: Reader) -> None:
        deadline = time.monotonic() + 40
        while not all(reader.source.partitions for reader in readers):
            assert time.monotonic() < deadline
            for reader in readers:
                reader.source.fetch(rows=1, seconds=0.1)

    with closing(Reader(topic, projector)) as first:
        joined(first)
        with closing(Reader(topic, projector)) as second:
            joined(first, second)
            # The broker lets nobody of another protocol into a group whose members are sticky.
            group = {"group.id": f"{topic.name}-{first.group}"}
            with (
                closing(Reader(topic, projector, protocol="consumer", properties=group)) as stranger,
                pytest.raises(ClientFailed),
            ):
                stranger.run_until(lambda: False)
