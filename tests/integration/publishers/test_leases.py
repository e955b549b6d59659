"""Who may publish which shards, and that nobody else can acknowledge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from auditlog.roles import Role
from publishers import outbox as statements
from publishers import sessions
from publishers.floors import Floors
from publishers.leases import Leases
from publishers.outbox import Row
from publishers.shares import Shares
from tests.conftest import ConnectAs, RoleUrl, WaitUntil
from tests.integration.publishers.conftest import StartProcess, StartRelay, parameters_of
from tests.integration.publishers.rows import Outbox

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
ALL = set(range(64))


@pytest.fixture
def connection(outbox: Outbox, role_url: RoleUrl) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the relay has it."""
    with sessions.connect(parameters_of(role_url(Role.RELAY))) as made:
        yield made


def fetch_all(connection: psycopg.Connection[Any], leases: Leases) -> list[Row]:
    """Return what waits in the shards held."""
    scans = Shares(rows=6_400, size=16_000_000).scans(sorted(leases.held), Floors())
    return statements.fetch(connection, scans=scans, stopped=())


def expire(outbox: Outbox, owner: str) -> None:
    """Let the leases of a relay run out."""
    outbox.run("UPDATE publishers_shardlease SET until = clock_timestamp() WHERE owner = %s", owner)


def test_relays_share_the_shards_evenly_and_give_up_what_is_too_much(connection: psycopg.Connection[Any]) -> None:
    one, two = Leases(owner="one", seconds=60), Leases(owner="two", seconds=60)
    one.balance(connection, in_flight=())
    assert set(one.held) == ALL
    two.balance(connection, in_flight=())
    assert two.held == {}
    assert one.balance(connection, in_flight={63}) == set()
    # The one with an event in flight is given up when it has landed.
    assert set(one.held) == set(range(32)) | {63}
    assert one.leaving == frozenset({63})
    two.balance(connection, in_flight=())
    assert set(two.held) == set(range(32, 63))
    one.balance(connection, in_flight=())
    two.balance(connection, in_flight=())
    assert set(one.held) | set(two.held) == ALL
    assert len(one.held) == len(two.held) == 32


def test_the_shards_of_a_relay_that_died_go_to_others_with_a_new_epoch(
    connection: psycopg.Connection[Any], outbox: Outbox
) -> None:
    dead, other = Leases(owner="dead", seconds=60), Leases(owner="other", seconds=60)
    dead.balance(connection, in_flight=())
    outbox.run("UPDATE publishers_relaymember SET until = clock_timestamp()")
    expire(outbox, "dead")
    other.balance(connection, in_flight=())
    assert {shard: epoch + 1 for shard, epoch in dead.held.items()} == other.held
    # Back from the dead, it learns what it lost, and claims nothing that is another's.
    assert dead.balance(connection, in_flight=()) == ALL
    assert dead.held == {}


def test_a_claim_whose_answer_got_lost_is_taken_up(connection: psycopg.Connection[Any]) -> None:
    leases = Leases(owner="one", seconds=60)
    leases.balance(connection, in_flight=())
    claimed = dict(leases.held)
    leases.held = {}
    leases.balance(connection, in_flight=())
    assert leases.held == claimed


def test_a_lease_is_trusted_for_two_thirds_of_its_time_by_the_clock_that_nobody_sets(
    connection: psycopg.Connection[Any],
) -> None:
    time = [1_000.0]
    leases = Leases(owner="one", seconds=60, clock=lambda: time[0])
    assert not leases.valid()
    leases.balance(connection, in_flight=())
    time[0] = 1_014.9
    assert (leases.valid(), leases.due()) == (True, False)
    time[0] = 1_039.9
    assert (leases.valid(), leases.due()) == (True, True)
    time[0] = 1_040.0
    assert not leases.valid()


def test_i4_a_relay_that_lost_its_lease_can_neither_acknowledge_nor_park(
    connection: psycopg.Connection[Any], outbox: Outbox
) -> None:
    (event,) = outbox.add("audit.x", "1")
    zombie, owner = Leases(owner="zombie", seconds=60), Leases(owner="owner", seconds=60)
    zombie.balance(connection, in_flight=())
    rows = fetch_all(connection, zombie)
    assert [row.id for row in rows] == [event.id]
    outbox.run("UPDATE publishers_relaymember SET until = clock_timestamp()")
    expire(outbox, "zombie")
    assert statements.acknowledge(connection, rows=rows, leases=zombie) == 0, "its time is over"
    owner.balance(connection, in_flight=())
    outbox.run("UPDATE publishers_shardlease SET owner = 'zombie'")
    assert statements.acknowledge(connection, rows=rows, leases=zombie) == 0, "its epoch is over"
    assert not statements.park(connection, row=rows[0], reason="x", leases=zombie)
    assert (outbox.ids(), outbox.parked(), outbox.ledger()) == ({event.id}, {}, set())
    outbox.run("UPDATE publishers_shardlease SET owner = 'owner'")
    assert statements.acknowledge(connection, rows=rows, leases=owner) == 1
    assert (outbox.ids(), outbox.ledger()) == (set(), {event.id})


def test_a_shard_is_not_claimed_while_its_owner_acknowledges(
    connection: psycopg.Connection[Any], outbox: Outbox, connect_as: ConnectAs
) -> None:
    (event,) = outbox.add("audit.x", "1")
    slow, quick = Leases(owner="slow", seconds=60), Leases(owner="quick", seconds=60)
    slow.balance(connection, in_flight=())
    rows = fetch_all(connection, slow)
    other = connect_as(Role.RELAY)
    with connection.transaction():
        assert statements.acknowledge(connection, rows=rows, leases=slow) == 1
        # Its lease runs out before it commits; nobody waits for it, and nobody takes this shard.
        locked = "SELECT count(*) FROM (SELECT FROM publishers_shardlease FOR UPDATE SKIP LOCKED) l"
        assert other.execute(locked).fetchone() == (63,)
    quick.balance(other, in_flight=())
    assert outbox.ledger() == {event.id}


def test_a_relay_that_stops_hands_its_shards_over_at_once(
    outbox: Outbox, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    one, two = start_relay(), start_relay()
    both = {one.leases.owner, two.leases.owner}
    wait_until(lambda: set(outbox.owners().values()) == both and len(outbox.owners()) == 64)
    # Without being told, the other would look again after a quarter of the lease.
    two.leases.seconds = 3_600
    two.leases.hurry()
    wait_until(lambda: not two.leases.due())
    one.stop()
    wait_until(lambda: list(outbox.owners().values()) == [two.leases.owner] * 64)


@pytest.mark.processes
def test_a_relay_that_is_asked_to_stop_releases_its_leases_and_exits_with_0(
    outbox: Outbox, topic: str, start_process: StartProcess, wait_for_empty: Callable[[], None], wait_until: WaitUntil
) -> None:
    committed = outbox.add(topic, *map(str, range(500)))
    relay = start_process(RELAY_LEASE_SECONDS="600")
    wait_for_empty()
    assert len(outbox.owners()) == 64
    assert relay.terminate() == 0
    assert outbox.owners() == {}
    assert outbox.ledger() == {event.id for event in committed}
    assert relay.said("relay.stopped")
    assert "Traceback" not in relay.text()
