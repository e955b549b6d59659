"""The relay and the consumer behind PgBouncer in transaction mode, which gives each transaction another session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auditlog.roles import Role
from publishers import sessions
from publishers.assembly import parameters_of
from publishers.hints import Bell, Hints, Listening
from publishers.leases import Leases
from tests.conftest import ConnectAs, RoleUrl, WaitUntil
from tests.integration.consumers.processes import consumer, environment
from tests.integration.publishers.conftest import StartProcess
from tests.integration.publishers.proxy import Proxy
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker, first_appearances
from tests.stack import address

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def pooled(pgbouncer: int, role_url: RoleUrl) -> Callable[[Role], str]:
    """Return the address of the test database for a role, through the pooler."""
    server = f"postgres://x@127.0.0.1:{pgbouncer}/x"
    return lambda role: address(server, user=role, database=role_url(role).rsplit("/", 1)[1])


@pytest.mark.processes
@pytest.mark.parametrize("listens", [True, False], ids=["listening past it", "polling"])
def test_i4_i5_behind_a_pooler_relays_and_a_consumer_lose_nothing_and_keep_the_order(
    listens: bool,
    pooled: Callable[[Role], str],
    role_url: RoleUrl,
    outbox: Outbox,
    broker: Broker,
    topic: str,
    topic_prefix: str,
    start_process: StartProcess,
    tmp_path: Path,
    wait_until: WaitUntil,
) -> None:
    variables = {
        "DATABASE_URL": pooled(Role.RELAY),
        "DATABASE_BEHIND_PGBOUNCER": "true",
        "RELAY_LISTEN_URL": role_url(Role.RELAY) if listens else "",
    }
    first, second = start_process(**variables), start_process(**variables)
    wait_until(lambda: set(map(list(outbox.owners().values()).count, outbox.owners().values())) == {32})
    committed = [event for _ in range(40) for event in outbox.add(topic, *map(str, range(25)))]
    reading = {"DATABASE_URL": pooled(Role.CONSUMER), "AUDIT_DATABASE_URL": pooled(Role.CONSUMER)}
    shown = environment(prefix=topic_prefix, **reading, DATABASE_BEHIND_PGBOUNCER="true")
    with consumer(tmp_path / "consumer.log", shown) as reader:
        wait_until(outbox.ledger)
        first.kill()
        committed += [event for _ in range(40) for event in outbox.add(topic, *map(str, range(25)))]
        wait_until(lambda: not outbox.ids())
        # They are no events: what matters here is that each is stored once.
        wait_until(lambda: outbox.count("consumers_deadletter") >= len(committed), timeout=60)
        assert reader.terminate() == 0
    assert second.terminate() == 0
    assert outbox.ledger() == {event.id for event in committed}
    assert first_appearances(broker.read(topic)) == {
        key: [event.id for event in committed if event.key == key] for key in map(str, range(25))
    }
    assert outbox.owners() == {}
    assert "Traceback" not in second.text() + reader.text()


def test_the_relays_settings_hold_for_its_transactions_and_meet_nobody_else(
    pooled: Callable[[Role], str], outbox: Outbox
) -> None:
    parameters = parameters_of(pooled(Role.RELAY))
    shown = "SELECT current_setting('enable_seqscan'), current_setting('TimeZone'), current_setting('jit')"
    with sessions.connect(parameters) as relay:
        for _ in range(3):
            assert relay.execute(shown).fetchone() == ("off", "UTC", "off")
        with psycopg.connect(**parameters, autocommit=True) as other:
            for _ in range(3):
                assert other.execute("SELECT current_setting('enable_seqscan')").fetchone() == ("on",)


def test_hints_come_past_the_pooler_and_again_after_a_connection_was_lost(
    pooled: Callable[[Role], str],
    role_url: RoleUrl,
    outbox: Outbox,
    connect_as: ConnectAs,
    wait_until: WaitUntil,
) -> None:
    direct = parameters_of(role_url(Role.RELAY))
    proxy = Proxy((direct["host"], int(direct["port"])))
    leases = Leases(owner="test", seconds=60)
    app = connect_as(Role.APP)
    hints = Hints({**direct, "port": proxy.port})
    with sessions.connect(parameters_of(pooled(Role.RELAY))) as connection:
        hints.attach(connection)
        assert not hints.wait(0, balance=leases.hurry)
        app.execute("NOTIFY auditlog_outbox")
        assert hints.wait(5, balance=leases.hurry)
        proxy.cut()
        wait_until(lambda: not hints.wait(0.05, balance=leases.hurry) and hints._listener is None)
        proxy.mend()
        wait_until(lambda: hints.wait(0.05, balance=leases.hurry) or app.execute("NOTIFY auditlog_outbox") is None)
    hints.close()
    proxy.close()


def test_a_bell_is_heard_with_and_without_a_database(outbox: Outbox, role_url: RoleUrl) -> None:
    def nothing() -> None:
        raise AssertionError

    for over in (Listening.NONE, Listening.ITS_OWN):
        bell = Bell()
        hints: Any = Hints(over, bell=bell)
        with sessions.connect(parameters_of(role_url(Role.RELAY))) as connection:
            hints.attach(connection)
            assert not hints.wait(0.01, balance=nothing)
            bell.ring()
            bell.ring()
            assert hints.wait(5, balance=nothing)
            assert not hints.wait(0.01, balance=nothing)
