"""Moving a topic to one with other partitions: nothing is lost, and no key loses its order (I4, I5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from auditlog import topics
from auditlog.roles import Role
from publishers import moving
from tests.conftest import ConnectAs, WaitUntil
from tests.integration.consumers.conftest import acting_as
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.proxy import Proxy
from tests.integration.publishers.rows import Committed, Outbox
from tests.integration.publishers.topics import Broker, few_topics, first_appearances

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
KEYS = [str(number) for number in range(20)]


@pytest.fixture
def moved_topic(settings: LazySettings, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The topic of a model, made with two partitions as all others; what is done is done by the relay's role."""
    settings.AUDITLOG_TOPIC_PREFIX = topic_prefix
    settings.KAFKA_TOPIC_PARTITIONS = 2
    monkeypatch.setattr("auditlog.topics.all_topics", lambda: few_topics(topic_prefix))
    with acting_as(Role.RELAY, alias="default"):
        call_command("kafka_topics", stdout=StringIO())
        yield f"{topic_prefix}.doctors.doctor"


def move(topic: str, *more: str) -> dict[str, Any]:
    """Move a topic to five partitions."""
    out = StringIO()
    call_command(
        "kafka_topics", "move", topic, "--partitions=5", "--reason=more consumers", "--json", *more, stdout=out
    )
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


@contextmanager
def writer(outbox: Outbox, topic: str, using: psycopg.Connection[Any]) -> Iterator[list[Committed]]:
    """Record events of all keys for the length of a block; returns those that are committed."""
    stop, committed = Event(), list[Committed]()

    def write() -> None:
        while not stop.wait(0.002):
            committed.extend(outbox.add(topic, *KEYS, using=using))

    thread = Thread(target=write)
    thread.start()
    try:
        yield committed
    finally:
        stop.set()
        thread.join()


def test_i4_a_topic_is_moved_under_load_and_every_key_keeps_its_order(
    moved_topic: str,
    broker: Broker,
    outbox: Outbox,
    connect_as: ConnectAs,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    start_relay()
    start_relay()
    with writer(outbox, moved_topic, connect_as(Role.OWNER)) as committed:
        wait_until(outbox.ledger)
        report = move(moved_topic)
        before = len(committed)
        wait_until(lambda: len(committed) > before + 200)
    wait_for_empty()
    new = f"{moved_topic}.v2"
    events = f"{moved_topic}.events"
    assert report == {"topics": {moved_topic: new, events: f"{events}.v2"}, "partitions": 5, "moved": True}
    earlier, later = broker.read(moved_topic), broker.read(new)
    assert earlier
    assert len({record.partition for record in later}) > 2
    ids = {key: [event.id for event in committed if event.key == key] for key in KEYS}
    assert first_appearances([*earlier, *later]) == ids
    assert {event.id for event in committed} <= outbox.ledger()
    (told,) = [json.loads(record.value) for record in broker.read(topics.system_topic())]
    assert (told["audit"]["action"], told["audit"]["reason"]) == ("topics_moved", "more consumers")
    assert told["audit"]["data"] == {"topics": report["topics"], "partitions": 5}
    # What was moved is as it should be, with its own number of partitions.
    call_command("kafka_topics", "--check", stdout=StringIO())
    assert move(moved_topic, "--dry-run")["topics"] == {moved_topic: f"{moved_topic}.v3", events: f"{events}.v3"}


def test_i4_a_topic_is_not_moved_while_one_of_its_events_is_under_way(
    moved_topic: str,
    broker: Broker,
    outbox: Outbox,
    start_relay: StartRelay,
    broker_proxy: Proxy,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    relay = start_relay(bootstrap=f"127.0.0.1:{broker_proxy.port}")
    committed = outbox.add(moved_topic, "1")
    wait_for_empty()
    broker_proxy.swallowed = moved_topic.encode()
    committed += outbox.add(moved_topic, "1")
    wait_until(lambda: relay.relay._in_flight)
    with pytest.raises(CommandError, match=rf"under way at {relay.leases.owner}\.$"):
        move(moved_topic, "--timeout=1")
    broker_proxy.swallowed = None
    broker_proxy.cut()
    broker_proxy.mend()
    committed += outbox.add(moved_topic, "1")
    wait_for_empty()
    assert first_appearances(broker.read(moved_topic)) == {"1": [event.id for event in committed]}
    assert broker.read(f"{moved_topic}.v2") == []


def test_i5_a_move_that_was_killed_holds_nothing_back_for_long(
    moved_topic: str,
    broker: Broker,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moving, "HOLD_SECONDS", 2)
    relay = start_relay()
    wait_until(lambda: len(outbox.owners()) == 64)
    moving._hold([moved_topic])
    wait_until(lambda: relay.relay._routes.draining)
    with pytest.raises(moving.NotMoved, match="Somebody else"):
        moving._hold([moved_topic])
    (event,) = outbox.add(moved_topic, "1")
    wait_for_empty()
    assert [record.outbox_id for record in broker.read(moved_topic)] == [event.id]


def test_a_topic_can_be_moved_where_no_relay_runs_and_more_than_once(
    moved_topic: str, broker: Broker, outbox: Outbox, start_relay: StartRelay, wait_for_empty: Callable[[], None]
) -> None:
    move(moved_topic)
    move(moved_topic)
    (event,) = outbox.add(moved_topic, "1")
    start_relay()
    wait_for_empty()
    assert [record.outbox_id for record in broker.read(f"{moved_topic}.v3")] == [event.id]
    names = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
    assert topics.generations(moved_topic, names) == [moved_topic, f"{moved_topic}.v2", f"{moved_topic}.v3"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reason= ", "--partitions=5"], "--reason must say why."),
        (["--reason=why", "--partitions=0"], "--partitions must be 1 or more."),
    ],
)
def test_a_move_needs_a_reason_and_partitions(moved_topic: str, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("kafka_topics", "move", moved_topic, *arguments)


def test_only_topics_of_registered_models_are_moved(moved_topic: str) -> None:
    with pytest.raises(CommandError, match="No registered model has the topic other;"):
        call_command("kafka_topics", "move", "other", "--partitions=5", "--reason=why")
