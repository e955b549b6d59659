"""The statements on the outbox use its index, are few, and cost what they move, whatever the planner believes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from auditlog.roles import Role
from publishers import outbox as statements
from publishers import sessions
from publishers.assembly import parameters_of
from publishers.floors import Floors
from publishers.leases import Leases
from publishers.outbox import ACKNOWLEDGE, DEPTH, FETCH, PARK, SURVEY, Row, Scan
from publishers.shares import Shares
from tests.conftest import ConnectAs, RoleUrl
from tests.integration.publishers.rows import Outbox

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "audit"]), pytest.mark.postgres_versions]

# What statistics may claim of a queue, whose table is full at one moment and empty at the next.
BELIEFS = {
    "empty": "reltuples = 0, relpages = 0, relallvisible = 0",
    "full of nothing": "reltuples = 0, relpages = 50000, relallvisible = 0",
    "huge": "reltuples = 500000000, relpages = 1, relallvisible = 0",
}


@pytest.fixture
def connection(outbox: Outbox, role_url: RoleUrl) -> Iterator[psycopg.Connection[Any]]:
    """A connection as the relay makes it."""
    with sessions.connect(parameters_of(role_url(Role.RELAY))) as made:
        yield made


@pytest.fixture
def leases(connection: psycopg.Connection[Any]) -> Leases:
    """All shards."""
    leases = Leases(owner="test", seconds=600)
    leases.balance(connection, in_flight=())
    return leases


@pytest.fixture(params=list(BELIEFS))
def believed(request: pytest.FixtureRequest, outbox: Outbox) -> None:
    """Two thousand events, and statistics that say something else."""
    with psycopg.connect(admin_url(outbox), autocommit=True) as admin:
        outbox.add("audit.x", *map(str, range(2_000)))
        outbox.run("ALTER TABLE auditlog_outboxevent SET (autovacuum_enabled = off)")
        admin.execute(
            f"UPDATE pg_class SET {BELIEFS[request.param]} WHERE relname ~ '^auditlog_outboxevent(_pkey|_parked)?$'"
        )


def admin_url(outbox: Outbox) -> str:
    """Return the address of the test database for the server's superuser."""
    return re.sub(r"/[^/]*$", f"/{outbox.connection.info.dbname}", os.environ["TEST_POSTGRES_ADMIN_URL"])


def fetched(connection: psycopg.Connection[Any], leases: Leases) -> list[Row]:
    """Fetch a batch: seven events of each shard."""
    scans = Shares(rows=400, size=16_000_000).scans(sorted(leases.held), Floors())
    return statements.fetch(connection, scans=scans, stopped=())


def explained(connection: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> dict[str, Any]:
    """Run a statement and return its plan."""
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        *before, last = [part for part in statement.split(";") if part.strip()]
        before.append(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {last}")
        cursor.execute(";".join(before), values)
        row = cursor.fetchone()
    assert row is not None
    plan: dict[str, Any] = (row[0] if isinstance(row[0], list) else json.loads(row[0]))[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans_of(plan: dict[str, Any]) -> set[tuple[str, str]]:
    """Return how the outbox is read: node type and index."""
    return {
        (node["Node Type"], node.get("Index Name", ""))
        for node in nodes(plan)
        if node.get("Relation Name") == "auditlog_outboxevent" and node["Node Type"] != "ModifyTable"
    }


def fetch_values(floor: int = 0) -> dict[str, Any]:
    """Return the parameters of a fetch of all shards."""
    return {
        "shards": list(range(64)),
        "floors": [floor] * 64,
        "rows": [10] * 64,
        "sizes": [1_000_000] * 64,
        "stopped": ["audit.y"],
    }


@pytest.mark.usefixtures("believed")
def test_a_fetch_reads_the_primary_key_and_the_index_of_parked_events(connection: psycopg.Connection[Any]) -> None:
    plan = explained(connection, FETCH, fetch_values())
    assert scans_of(plan) <= {
        ("Index Scan", "auditlog_outboxevent_pkey"),
        ("Index Scan", "auditlog_outboxevent_parked"),
        ("Index Only Scan", "auditlog_outboxevent_parked"),
    }
    assert not {node["Node Type"] for node in nodes(plan)} & {"Sort", "Incremental Sort"}
    (rows,) = (n for n in nodes(plan) if n.get("Index Name") == "auditlog_outboxevent_pkey")
    assert rows["Actual Rows"] * rows["Actual Loops"] <= 64 * 11


@pytest.mark.usefixtures("believed")
def test_an_acknowledgement_goes_to_its_rows_directly(connection: psycopg.Connection[Any], leases: Leases) -> None:
    rows = fetched(connection, leases)
    values = {
        "shards": list(leases.held),
        "epochs": list(leases.held.values()),
        "owner": leases.owner,
        "places": "{" + ",".join(f'"{row.place}"' for row in rows) + "}",
        "ids": "{" + ",".join(str(row.id) for row in rows) + "}",
    }
    assert scans_of(explained(connection, ACKNOWLEDGE, values)) == {("Tid Scan", "")}
    assert statements.acknowledge(connection, rows=rows, leases=leases) == len(rows) == 448


@pytest.mark.usefixtures("believed")
def test_the_depth_is_counted_by_the_primary_key_and_not_beyond_its_limit(
    connection: psycopg.Connection[Any], outbox: Outbox
) -> None:
    values = {"shards": list(range(64)), "floors": [0] * 64, "most": 5}
    plan = explained(connection, DEPTH, values)
    assert scans_of(plan) == {("Index Scan", "auditlog_outboxevent_pkey")}
    (rows,) = (n for n in nodes(plan) if n.get("Index Name") == "auditlog_outboxevent_pkey")
    assert rows["Actual Rows"] * rows["Actual Loops"] == 64 * 5
    everything = dict.fromkeys(range(64), 0)
    assert statements.depth(connection, floors=everything, most=5) == 64 * 5
    assert statements.depth(connection, floors=everything, most=1_000) == 2_000
    ids = sorted(outbox.ids())
    assert statements.depth(connection, floors=dict.fromkeys(range(64), ids[1_499]), most=1_000) == 500


@pytest.mark.usefixtures("believed")
def test_parking_and_surveying_use_indexes(connection: psycopg.Connection[Any], leases: Leases) -> None:
    row = fetched(connection, leases)[0]
    values = {"shard": row.shard, "id": row.id, "reason": "x", "owner": leases.owner, "epoch": leases.held[row.shard]}
    assert scans_of(explained(connection, PARK, values)) == {("Index Scan", "auditlog_outboxevent_pkey")}
    assert statements.park(connection, row=row, reason="x", leases=leases)
    found = scans_of(explained(connection, SURVEY, {}))
    assert {index for _, index in found} == {"auditlog_outboxevent_parked"}
    assert statements.survey(connection).parked == {row.shard: 1}


def test_a_fetch_is_bounded_by_number_and_by_size_and_takes_one_at_least(
    connection: psycopg.Connection[Any], outbox: Outbox
) -> None:
    many = outbox.add("audit.x", *["k"] * 50, value="x" * 1_000, shard=1)
    large = outbox.add("audit.x", "k", "k", value="x" * 1_000_000, shard=2)
    by_number = statements.fetch(connection, scans=[Scan(1, 0, 7, 1_000_000)], stopped=())
    assert [row.id for row in by_number] == [event.id for event in many[:7]]
    by_size = statements.fetch(connection, scans=[Scan(1, 0, 50, 3_000), Scan(2, 0, 50, 3_000)], stopped=())
    assert [row.id for row in by_size] == [event.id for event in [*many[:3], large[0]]]
    behind = statements.fetch(connection, scans=[Scan(1, many[47].id, 50, 1_000_000)], stopped=())
    assert [row.id for row in behind] == [event.id for event in many[48:]]
    assert statements.fetch(connection, scans=[Scan(1, 0, 7, 1_000_000)], stopped=["audit.x"]) == []


def test_a_fetch_does_not_walk_over_rows_that_a_long_transaction_keeps_from_vacuum(
    connection: psycopg.Connection[Any], leases: Leases, outbox: Outbox, connect_as: ConnectAs
) -> None:
    reader = connect_as(Role.READER)
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM auditlog_outboxevent")
    floors, shares = Floors(), Shares(rows=4_000, size=16_000_000)
    for _ in range(5):
        outbox.add("audit.x", *map(str, range(2_000)))
        scans = shares.scans(sorted(leases.held), floors)
        rows = statements.fetch(connection, scans=scans, stopped=())
        last_ids: dict[int, int | None] = dict.fromkeys(leases.held)
        last_ids.update({row.shard: row.id for row in rows})
        floors.fetched(last_ids)
        assert statements.acknowledge(connection, rows=rows, leases=leases) == len(rows) == 2_000
        found = statements.survey(connection)
        floors.surveyed(xmin=found.xmin, xmax=found.xmax)
    everything = explained(connection, FETCH, fetch_values())
    values = {**fetch_values(), "floors": [floors.of(shard) for shard in range(64)]}
    from_floors = explained(connection, FETCH, values)
    # All 10,000 dead rows against those of the rounds that no floor could know yet.
    assert everything["Shared Hit Blocks"] > 5_000
    assert from_floors["Shared Hit Blocks"] < everything["Shared Hit Blocks"] / 2


def test_an_acknowledgement_writes_little_ahead(
    connection: psycopg.Connection[Any], leases: Leases, outbox: Outbox
) -> None:
    outbox.add("audit.x", *map(str, range(2_000)))
    rows = fetched(connection, leases)
    before = wal_bytes(outbox)
    assert statements.acknowledge(connection, rows=rows, leases=leases) == 448
    # A delete, its share of the ledger entry, and a lock for each shard.
    assert (wal_bytes(outbox) - before) / len(rows) < 150


def wal_bytes(outbox: Outbox) -> int:
    """Return how much the server has written ahead."""
    row = outbox.connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return int(row[0])
