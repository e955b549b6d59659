"""I4: first appearances of the events of a key stand in the order of their ids, whatever happens to relays."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from auditlog.roles import Role
from tests.conftest import ConnectAs, WaitUntil
from tests.integration.publishers.conftest import StartProcess, StartRelay
from tests.integration.publishers.rows import Committed, Outbox
from tests.integration.publishers.topics import Broker, first_appearances

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
KEYS = [str(number) for number in range(7)]


def expected(committed: list[Committed]) -> dict[str, list[int]]:
    """Return the ids of each key in their order."""
    found: dict[str, list[int]] = {}
    for event in sorted(committed, key=lambda event: event.id):
        found.setdefault(event.key, []).append(event.id)
    return found


@pytest.mark.processes
def test_i4_events_keep_their_order_when_relays_are_killed_and_take_over(
    broker: Broker, topic: str, outbox: Outbox, start_process: StartProcess, wait_until: WaitUntil
) -> None:
    small = {"RELAY_BATCH_ROWS": "50"}
    first, second = start_process(**small), start_process(**small)
    wait_until(lambda: len(set(outbox.owners().values())) == 2)
    committed: list[Committed] = []
    for victim in (first, second):
        # More than can be published before the victim is killed.
        wanted = len(outbox.ledger()) + 300
        committed += outbox.add(topic, *KEYS * 800)
        wait_until(lambda wanted=wanted: len(outbox.ledger()) >= wanted)
        victim.kill()
        committed += outbox.add(topic, *KEYS * 100)
        start_process(**small)
    wait_until(lambda: not outbox.ids(), timeout=60)
    assert first_appearances(broker.read(topic)) == expected(committed)
    assert outbox.ledger() == {event.id for event in committed}


@pytest.mark.processes
def test_i4_a_relay_that_slept_through_its_lease_neither_acknowledges_nor_reorders(
    broker: Broker, topic: str, outbox: Outbox, start_process: StartProcess, wait_until: WaitUntil
) -> None:
    committed = outbox.add(topic, *KEYS * 1_500)
    sleeper = start_process(RELAY_BATCH_ROWS="50")
    wait_until(lambda: len(outbox.ledger()) > 500)
    sleeper.signal(signal.SIGSTOP)
    (asleep,) = set(outbox.owners().values())
    wait_until(lambda: not outbox.owners())
    other = start_process(RELAY_BATCH_ROWS="50")
    before = outbox.ledger()
    wait_until(lambda: len(outbox.ledger()) > len(before) + 500)
    assert set(outbox.owners().values()) != {asleep}
    sleeper.signal(signal.SIGCONT)
    # It comes back for its share, with new epochs.
    wait_until(lambda: set(outbox.owners().values()) > {asleep})
    committed += outbox.add(topic, *KEYS * 50)
    wait_until(lambda: not outbox.ids(), timeout=60)
    assert first_appearances(broker.read(topic)) == expected(committed)
    assert outbox.ledger() == {event.id for event in committed}
    assert other.terminate() == 0


def test_i4_a_lower_id_that_commits_later_is_published_before_what_follows_it(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    connect_as: ConnectAs,
    wait_for_empty: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.scanner.SURVEY_SECONDS", 0.0)
    slow = connect_as(Role.OWNER)
    with slow.transaction():
        (late,) = outbox.add(topic, "slow", shard=3, using=slow)
        start_relay()
        # Later ids of the same shard come and go, more often than it takes to find a floor for its scans.
        for _ in range(5):
            outbox.add(topic, "quick", shard=3)
            wait_for_empty()
    # The object was locked until now: its next event follows the commit, and is seen together with it at the earliest.
    (following,) = outbox.add(topic, "slow", shard=3)
    wait_for_empty()
    assert first_appearances(broker.read(topic))["slow"] == [late.id, following.id]


def test_i4_a_requeued_event_is_published_before_those_it_held(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.scanner.SURVEY_SECONDS", 0.0)
    held = outbox.add(topic, "held", "held", shard=3)
    outbox.run("UPDATE auditlog_outboxevent SET parked_at = now(), parked_reason = 'x' WHERE id = %s", held[0].id)
    start_relay()
    for _ in range(5):
        (other,) = outbox.add(topic, "other", shard=3)
        wait_until(lambda other=other: other.id in outbox.ledger())
    assert outbox.ids() == {event.id for event in held}
    outbox.run("UPDATE auditlog_outboxevent SET parked_at = NULL WHERE id = %s", held[0].id)
    held += outbox.add(topic, "held", shard=3)
    wait_for_empty()
    assert first_appearances(broker.read(topic))["held"] == [event.id for event in held]
