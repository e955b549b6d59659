"""I7: what fails stops its own key or topic, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from tests.conftest import WaitUntil
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.proxy import Proxy
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker, first_appearances

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def random_text(length: int) -> str:
    """Return what compresses to more than half its length."""
    return random.Random(7).randbytes(length // 2).hex()


def stopped(topic: str, trouble: str = "missing") -> float | None:
    """Return the metric that says that a topic is stopped."""
    return REGISTRY.get_sample_value("auditlog_relay_topic_stopped", {"topic": topic, "trouble": trouble})


def test_i7_an_event_that_the_broker_refuses_holds_its_own_key_only(
    broker: Broker, topic_prefix: str, outbox: Outbox, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    narrow = f"{topic_prefix}.narrow"
    broker.create(narrow, partitions=1, config={"max.message.bytes": "5000"})
    before = outbox.add(narrow, "poisoned", *map(str, range(100)))
    (poison,) = outbox.add(narrow, "poisoned", value=random_text(20_000))
    held = outbox.add(narrow, "poisoned", "poisoned")
    after = outbox.add(narrow, *map(str, range(100)))
    start_relay()
    published = before + after
    wait_until(lambda: outbox.ids() == {poison.id, *(event.id for event in held)})
    assert outbox.parked() == {poison.id: "MSG_SIZE_TOO_LARGE"}
    assert outbox.ledger() == {event.id for event in published}
    wanted = {key: [event.id for event in published if event.key == key] for key in {e.key for e in published}}
    assert first_appearances(broker.read(narrow)) == wanted
    # What comes later of this key waits as well; others do not.
    (later,) = outbox.add(narrow, "poisoned")
    (other,) = outbox.add(narrow, "other")
    wait_until(lambda: other.id in outbox.ledger())
    assert later.id in outbox.ids()


def test_i7_a_batch_that_is_too_large_for_its_topic_is_not_taken_for_a_poisoned_event(
    broker: Broker, topic_prefix: str, outbox: Outbox, start_relay: StartRelay, wait_for_empty: Callable[[], None]
) -> None:
    narrow = f"{topic_prefix}.narrow"
    broker.create(narrow, partitions=1, config={"max.message.bytes": "2000"})
    # Together they exceed the limit; alone, each is well below it.
    for number in range(20):
        outbox.add(narrow, str(number), value=random_text(1_000 + 2 * number))
    committed = outbox.ids()
    start_relay()
    wait_for_empty()
    assert outbox.ledger() == committed
    assert {record.outbox_id for record in broker.read(narrow)} == committed


def test_i7_a_missing_topic_stops_only_itself_and_is_published_once_it_is_there(
    broker: Broker,
    topic: str,
    topic_prefix: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.scanner.SURVEY_SECONDS", 0.0)
    missing = f"{topic_prefix}.missing"
    waiting = outbox.add(missing, *["1", "2"] * 1_000, shard=3)
    start_relay()
    # What can be published of the same shard goes past, more often than it takes to find a floor for its scans.
    for _ in range(5):
        (event,) = outbox.add(topic, "1", shard=3)
        wait_until(lambda event=event: event.id in outbox.ledger())
    assert stopped(missing) == 1
    waiting += outbox.add(missing, "1", "2", shard=3)
    broker.create(missing, partitions=1)
    wait_for_empty()
    assert first_appearances(broker.read(missing)) == {
        key: [event.id for event in waiting if event.key == key] for key in "12"
    }
    assert stopped(missing) is None


def test_i7_a_topic_that_vanishes_stops_only_itself(
    broker: Broker, topic: str, topic_prefix: str, outbox: Outbox, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    vanishing = f"{topic_prefix}.vanishing"
    broker.create(vanishing, partitions=1)
    start_relay()
    (first,) = outbox.add(vanishing, "1")
    wait_until(lambda: first.id in outbox.ledger())
    broker.delete(vanishing)
    waiting = outbox.add(vanishing, "1", "1")
    (event,) = outbox.add(topic, "1")
    wait_until(lambda: event.id in outbox.ledger())
    wait_until(lambda: stopped(vanishing) == 1)
    broker.create(vanishing, partitions=1)
    wait_until(lambda: not outbox.ids())
    assert [record.outbox_id for record in broker.read(vanishing)] == [event.id for event in waiting]


def test_i7_a_topic_that_is_never_acknowledged_stops_only_itself(
    broker: Broker,
    topic: str,
    topic_prefix: str,
    outbox: Outbox,
    start_relay: StartRelay,
    broker_proxy: Proxy,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.relay.FIRST_SILENCE_SECONDS", 0.5)
    monkeypatch.setattr("publishers.relay.SILENT_TOPIC_SECONDS", 0.5)
    silent = f"{topic_prefix}.silent"
    broker.create(silent, partitions=1)
    start_relay(bootstrap=f"127.0.0.1:{broker_proxy.port}")
    waiting = outbox.add(silent, "1")
    wait_for_empty()
    broker_proxy.swallowed = silent.encode()
    waiting += outbox.add(silent, "1", "1")
    wait_until(lambda: stopped(silent, "silent") == 1)
    (event,) = outbox.add(topic, "1")
    wait_until(lambda: event.id in outbox.ledger())
    broker_proxy.swallowed = None
    wait_for_empty()
    assert [record.outbox_id for record in broker.read(silent)] == [event.id for event in waiting]


def test_i7_a_hot_shard_does_not_keep_the_others_waiting(
    broker: Broker, topic: str, outbox: Outbox, start_relay: StartRelay, wait_for_empty: Callable[[], None]
) -> None:
    outbox.add(topic, *["hot"] * 5_000, shard=0)
    quiet = outbox.add(topic, *(f"quiet-{number}" for number in range(3)), shard=62)
    start_relay()
    wait_for_empty()
    row = outbox.connection.execute(
        "SELECT (SELECT count(*) FROM auditlog_outboxledger l WHERE l.id <= q.id) "
        "FROM auditlog_outboxledger q WHERE %s = ANY (outbox_ids)",
        [quiet[-1].id],
    ).fetchone()
    assert row == (1,), "the first batch had them"
