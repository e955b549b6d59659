"""I5: what committed is published however long the broker or the database is away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from auditlog.roles import Role
from tests.conftest import WaitUntil
from tests.integration.publishers.conftest import StartProcess, StartRelay
from tests.integration.publishers.proxy import Proxy
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker, first_appearances

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
CLOSED_PORT = "127.0.0.1:1"


@pytest.fixture
def database_proxy(relay_parameters: dict[str, Any]) -> Iterator[Proxy]:
    """The database behind a proxy."""
    proxy = Proxy((relay_parameters["host"], relay_parameters["port"]))
    yield proxy
    proxy.close()


def count(name: str, **labels: str) -> float:
    """Return the value of a metric."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_i5_nothing_is_published_twice_where_nothing_fails(
    broker: Broker, topic: str, outbox: Outbox, start_relay: StartRelay, wait_for_empty: Callable[[], None]
) -> None:
    committed = outbox.add(topic, *map(str, range(6_000)))
    start_relay()
    wait_for_empty()
    assert sorted(record.event_id for record in broker.read(topic)) == sorted(event.event_id for event in committed)


def test_i5_what_commits_while_the_broker_is_away_is_published_when_it_is_back(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    broker_proxy: Proxy,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.relay.FIRST_SILENCE_SECONDS", 0.5)
    relay = start_relay(bootstrap=f"127.0.0.1:{broker_proxy.port}")
    committed = outbox.add(topic, "1", "2", "3")
    wait_for_empty()
    said = count("auditlog_relay_unavailable_total", server="kafka")
    given_up = count("auditlog_relay_given_up_total", reason="producer_failed")
    broker_proxy.cut()
    committed += outbox.add(topic, *["1", "2", "3"] * 2_000)
    wait_until(lambda: count("auditlog_relay_unavailable_total", server="kafka") > said)
    # Bounded: what does not fit in two batches waits in the outbox; and the shards stay this relay's.
    assert 0 < count("auditlog_relay_in_flight_events") <= 2 * 2 * 400
    assert set(outbox.owners().values()) == {relay.leases.owner}
    # Nothing is fetched meanwhile, and the alarm must hear of it.
    wait_until(lambda: count("auditlog_relay_oldest_event_seconds") > 1)
    held = dict(relay.leases.held)
    broker_proxy.mend()
    wait_for_empty()
    assert relay.leases.held == held, "the leases were kept all the time"
    assert count("auditlog_relay_given_up_total", reason="producer_failed") == given_up, "nothing is given up by age"
    assert outbox.ledger() == {event.id for event in committed}
    published = first_appearances(broker.read(topic))
    assert published == {key: [event.id for event in committed if event.key == key] for key in "123"}


def test_i5_a_relay_whose_shards_were_taken_lets_go_of_what_it_had_in_flight(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    broker_proxy: Proxy,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    start_relay(bootstrap=f"127.0.0.1:{broker_proxy.port}")
    committed = outbox.add(topic, "warm-up")
    wait_for_empty()
    given_up = count("auditlog_relay_given_up_total", reason="lease_lost")
    broker_proxy.cut()
    committed += outbox.add(topic, *map(str, range(50)))
    wait_until(lambda: count("auditlog_relay_in_flight_events") == 50)
    outbox.run("UPDATE publishers_shardlease SET owner = 'other', epoch = epoch + 1, until = now() + interval '1 hour'")
    wait_until(lambda: count("auditlog_relay_given_up_total", reason="lease_lost") == given_up + 1)
    broker_proxy.mend()
    outbox.run("UPDATE publishers_shardlease SET owner = NULL, until = NULL")
    wait_for_empty()
    # Nothing of what was given up was sent: each event is there once.
    assert sorted(record.event_id for record in broker.read(topic)) == sorted(event.event_id for event in committed)


def test_i5_a_database_that_goes_away_for_a_moment_costs_no_duplicates(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    database_proxy: Proxy,
    relay_parameters: dict[str, Any],
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    relay = start_relay(parameters={**relay_parameters, "port": database_proxy.port})
    relay.leases.seconds = 60
    committed = outbox.add(topic, "1")
    wait_for_empty()
    said = count("auditlog_relay_unavailable_total", server="postgresql")
    database_proxy.cut()
    committed += outbox.add(topic, *map(str, range(50)))
    wait_until(lambda: count("auditlog_relay_unavailable_total", server="postgresql") > said)
    database_proxy.mend()
    wait_for_empty()
    assert sorted(record.event_id for record in broker.read(topic)) == sorted(event.event_id for event in committed)


@pytest.fixture
def read_only(relay_parameters: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """The relay may only read, as on a standby; the function gives its rights back."""
    database = relay_parameters["dbname"]

    def alter(change: str) -> None:
        with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin:
            admin.execute(f"ALTER ROLE {Role.RELAY} IN DATABASE {database} {change}".encode())

    alter("SET default_transaction_read_only = on")
    yield lambda: alter("RESET default_transaction_read_only")
    alter("RESET default_transaction_read_only")


def test_i5_a_relay_waits_for_a_database_that_is_read_only(
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    read_only: Callable[[], None],
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    committed = outbox.add(topic, "1")
    said = count("auditlog_relay_unavailable_total", server="postgresql")
    start_relay()
    wait_until(lambda: count("auditlog_relay_unavailable_total", server="postgresql") > said + 1)
    read_only()
    wait_for_empty()
    assert outbox.ledger() == {event.id for event in committed}


def test_i5_a_batch_that_was_delivered_while_the_database_was_away_is_acknowledged_afterwards(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    broker_proxy: Proxy,
    database_proxy: Proxy,
    relay_parameters: dict[str, Any],
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    parameters = {**relay_parameters, "port": database_proxy.port}
    relay = start_relay(parameters=parameters, bootstrap=f"127.0.0.1:{broker_proxy.port}")
    relay.leases.seconds = 60
    relay.leases.hurry()
    committed = outbox.add(topic, "warm-up")
    wait_for_empty()
    broker_proxy.cut()
    committed += outbox.add(topic, *map(str, range(50)))
    wait_until(lambda: count("auditlog_relay_in_flight_events") == 50)
    database_proxy.cut()
    broker_proxy.mend()
    wait_until(lambda: len(broker.read(topic)) == len(committed))
    database_proxy.mend()
    wait_for_empty()
    assert sorted(record.event_id for record in broker.read(topic)) == sorted(event.event_id for event in committed)


def test_i5_what_cannot_be_acknowledged_is_sent_again_until_it_can(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.scanner.SURVEY_SECONDS", 0.0)
    outbox.run("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    outbox.run("CREATE TRIGGER keep BEFORE DELETE ON auditlog_outboxevent FOR EACH ROW EXECUTE FUNCTION keep()")
    try:
        (event,) = outbox.add(topic, "1")
        start_relay()
        wait_until(lambda: len(broker.read(topic)) >= 4)
        assert outbox.ids() == {event.id}
    finally:
        outbox.run("DROP TRIGGER keep ON auditlog_outboxevent")
        outbox.run("DROP FUNCTION keep")
    wait_for_empty()
    assert {record.event_id for record in broker.read(topic)} == {event.event_id}


def test_i5_a_shard_that_was_another_s_meanwhile_is_scanned_from_its_beginning(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("publishers.scanner.SURVEY_SECONDS", 0.0)
    relay = start_relay()
    for _ in range(5):
        outbox.add(topic, "1", shard=3)
        wait_for_empty()
    outbox.run("UPDATE publishers_shardlease SET owner = 'other', epoch = epoch + 1, until = now() + interval '1 hour'")
    wait_until(lambda: not relay.leases.held)
    # An id that is lower than all before: an earlier one that another relay had parked, say.
    outbox.run("ALTER TABLE auditlog_outboxevent ALTER id SET GENERATED BY DEFAULT")
    outbox.add(topic, "1", shard=3)
    outbox.run("UPDATE auditlog_outboxevent SET id = 1")
    outbox.run("ALTER TABLE auditlog_outboxevent ALTER id SET GENERATED ALWAYS")
    outbox.run("UPDATE publishers_shardlease SET owner = NULL, until = NULL")
    wait_for_empty()
    assert [record.key for record in broker.read(topic)] == ["1"] * 6


@pytest.mark.processes
def test_i5_a_relay_waits_for_kafka_says_so_and_ends_when_asked(
    topic: str, outbox: Outbox, start_process: StartProcess, wait_until: WaitUntil
) -> None:
    relay = start_process(KAFKA_BOOTSTRAP_SERVERS=CLOSED_PORT)
    wait_until(lambda: len(relay.said("relay.waiting_for_kafka")) >= 2)
    first, second = relay.said("relay.waiting_for_kafka")[:2]
    assert second["next_attempt_seconds"] == 2 * first["next_attempt_seconds"]
    (event,) = outbox.add(topic, "1")
    # A relay that reaches Kafka finds all shards free.
    assert outbox.owners() == {}
    assert relay.terminate() == 0
    assert outbox.ids() == {event.id}
    assert outbox.owners() == {}


@pytest.mark.processes
def test_i5_a_relay_waits_for_postgresql_says_so_and_ends_when_asked(
    outbox: Outbox, start_process: StartProcess, wait_until: WaitUntil
) -> None:
    relay = start_process(DATABASE_URL=f"postgres://auditlog_relay@{CLOSED_PORT}/nowhere")
    wait_until(lambda: len(relay.said("relay.waiting_for_postgresql")) >= 2)
    first, second = relay.said("relay.waiting_for_postgresql")[:2]
    assert second["next_attempt_seconds"] == 2 * first["next_attempt_seconds"]
    assert relay.terminate() == 0


@pytest.mark.processes
def test_i5_a_relay_that_is_asked_to_stop_while_the_broker_is_away_ends_in_time_and_loses_nothing(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_process: StartProcess,
    start_relay: StartRelay,
    broker_proxy: Proxy,
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
) -> None:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker_proxy.port}", "RELAY_DRAIN_SECONDS": "1"}
    relay = start_process(**variables)
    committed = outbox.add(topic, "warm-up")
    wait_for_empty()
    broker_proxy.cut()
    committed += outbox.add(topic, *map(str, range(20)))
    wait_until(lambda: relay.said("relay.kafka_unreachable"))
    assert relay.terminate() == 0
    assert relay.said("relay.given_up")[0]["reason"] == "drain_over"
    assert outbox.owners() == {}
    start_relay()
    wait_for_empty()
    assert outbox.ledger() == {event.id for event in committed}
