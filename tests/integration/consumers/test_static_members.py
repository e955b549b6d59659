"""Consumers with names in their group: one that ends and comes back soon finds its partitions, and disturbs nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from django.conf import settings

from auditlog.models import AuditLog
from tests.integration.consumers.conftest import stored_ids
from tests.integration.consumers.processes import DEADLINE_SECONDS, ConsumerProcess, consumer, environment, wait_until
from tests.integration.consumers.topics import Topic, events, ids_of, new_prefix

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "audit"]), pytest.mark.processes]

PARTITIONS = 6
# Longer than any restart on a busy machine.
LONG, SHORT = "300", "6"

Start = Callable[..., ConsumerProcess]


@pytest.fixture
def prefix() -> str:
    """A prefix of topics of the test's own."""
    return new_prefix()


@pytest.fixture
def topic(prefix: str, read_model: None) -> Iterator[Topic]:
    """The one topic that every consumer reads, whatever models are registered."""
    made = Topic(name=f"{prefix}.auditlog.system.events", partitions=PARTITIONS)
    made.create()
    yield made
    made.delete()


@pytest.fixture
def start(topic: Topic, prefix: str, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the consumer of a name; each start has a log of its own."""
    with ExitStack() as stack:

        def started(name: str, *, protocol: str = "classic", session: str = LONG) -> ConsumerProcess:
            log = tmp_path / f"{len(list(tmp_path.iterdir()))}-{name}.log"
            variables = environment(
                prefix=prefix,
                KAFKA_GROUP_PROTOCOL=protocol,
                KAFKA_GROUP_INSTANCE_ID=name,
                KAFKA_SESSION_TIMEOUT_SECONDS=session,
            )
            return stack.enter_context(consumer(log, variables))

        yield started


def lengthen_sessions(group: str) -> None:
    """Let the broker wait as long as it may for members of the newer protocol, of whose sessions it decides."""
    entry = ConfigEntry("consumer.session.timeout.ms", "60000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, f"{group}.consumer", incremental_configs=[entry])
    admin = AdminClient({**settings.KAFKA_CONNECTION})
    (changed,) = admin.incremental_alter_configs([resource]).values()
    changed.result(DEADLINE_SECONDS)


def moves(process: ConsumerProcess) -> list[tuple[str, frozenset[str]]]:
    """Return what was given to a consumer and taken from it, in order."""
    lines = [json.loads(line) for line in process.text().splitlines() if line.startswith("{")]
    kinds = {"consumer.assigned", "consumer.revoked"}
    return [(line["event"], frozenset(line["partitions"])) for line in lines if line["event"] in kinds]


def held(process: ConsumerProcess) -> frozenset[str]:
    """Return the partitions that a consumer has."""
    found: frozenset[str] = frozenset()
    for event, partitions in moves(process):
        found = found | partitions if event == "consumer.assigned" else found - partitions
    return found


def share(one: ConsumerProcess, other: ConsumerProcess) -> bool:
    """Tell whether two consumers have half of the partitions each."""
    return len(held(one)) == len(held(other)) == PARTITIONS / 2 and not held(one) & held(other)


def has_stored(count: int) -> bool:
    """Tell whether the read model holds so many events."""
    return AuditLog.objects.using("default").count() >= count


@pytest.mark.parametrize(
    ("protocol", "end"),
    [
        ("classic", ConsumerProcess.terminate),
        ("classic", ConsumerProcess.kill),
        ("consumer", ConsumerProcess.terminate),
    ],
    ids=["classic-asked", "classic-killed", "consumer-asked"],
)
def test_i6_a_named_consumer_that_comes_back_in_time_finds_its_partitions_and_moves_no_other(
    topic: Topic, prefix: str, start: Start, protocol: str, end: Callable[[ConsumerProcess], int | None]
) -> None:
    lengthen_sessions(prefix)
    staying, leaving = start("consumer-0", protocol=protocol), start("consumer-1", protocol=protocol)
    wait_until(lambda: share(staying, leaving), of=leaving)
    before, own = moves(staying), held(leaving)
    values = events(240)
    topic.produce(values[:120])
    wait_until(partial(has_stored, 120), of=staying)

    assert end(leaving) in {0, None}
    topic.produce(values[120:])
    wait_until(partial(has_stored, 180), of=staying)
    returned = start("consumer-1", protocol=protocol)
    wait_until(partial(has_stored, 240), of=returned)

    assert held(returned) == own
    assert moves(staying) == before
    assert sorted(stored_ids()) == sorted(ids_of(values))
    assert [staying.terminate(), returned.terminate()] == [0, 0]


def test_a_named_consumer_that_stays_away_gives_its_partitions_up_when_its_session_is_over(
    topic: Topic, start: Start
) -> None:
    staying, leaving = start("consumer-0", session=SHORT), start("consumer-1", session=SHORT)
    wait_until(lambda: share(staying, leaving), of=leaving)
    assert leaving.terminate() == 0
    values = events(60)
    topic.produce(values)
    wait_until(partial(has_stored, 60), of=staying)
    assert len(held(staying)) == PARTITIONS
    assert sorted(stored_ids()) == sorted(ids_of(values))


def test_i6_by_the_newer_protocol_a_name_is_taken_until_the_session_of_who_was_killed_is_over(
    topic: Topic, start: Start
) -> None:
    """The broker refuses the name, so that the process ends; whoever starts it again meets a group that went on."""
    staying, killed = start("consumer-0", protocol="consumer"), start("consumer-1", protocol="consumer")
    wait_until(lambda: share(staying, killed), of=killed)
    killed.kill()
    values = events(60)
    topic.produce(values)
    refused = start("consumer-1", protocol="consumer")
    wait_until(lambda: not refused.is_running(), of=refused)
    assert refused.terminate() == 1
    assert "instance ID is still used" in refused.text()

    wait_until(partial(has_stored, 60), of=staying)
    returned = start("consumer-1", protocol="consumer")
    wait_until(lambda: share(staying, returned), of=returned)
    assert sorted(stored_ids()) == sorted(ids_of(values))


def test_of_two_consumers_with_one_name_the_first_ends_with_an_error(topic: Topic, start: Start) -> None:
    first = start("consumer-0")
    wait_until(lambda: len(held(first)) == PARTITIONS, of=first)
    second = start("consumer-0")
    wait_until(lambda: not first.is_running(), of=first)
    wait_until(lambda: len(held(second)) == PARTITIONS, of=second)
    assert first.terminate() == 1
    assert "Static consumer fenced" in first.text()
