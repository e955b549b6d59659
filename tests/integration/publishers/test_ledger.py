"""The ledger accounts for what left the outbox, until it is old."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone
from prometheus_client import REGISTRY

from auditlog.models import OutboxLedger
from auditlog.queries.accounts import MINUTE, Window, accounted_since, committed, committed_ids, minute_of
from auditlog.roles import Role
from publishers import ledger
from tests.conftest import ConnectAs, WaitUntil
from tests.integration.consumers.conftest import acting_as
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.rows import Outbox

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def test_an_entry_names_its_events_and_digests_them(
    outbox: Outbox, topic: str, start_relay: StartRelay, wait_for_empty: Callable[[], None]
) -> None:
    events = outbox.add(topic, "1", "2", "3", shard=5)
    relay = start_relay()
    wait_for_empty()
    with acting_as(Role.READER, alias="default"):
        (entry,) = OutboxLedger.objects.all()
    assert (entry.topic, entry.relay) == (topic, relay.leases.owner)
    assert entry.outbox_ids == [event.id for event in events]
    assert [str(event_id) for event_id in entry.event_ids] == [event.event_id for event in events]
    digest = 0
    for event in events:
        digest ^= int.from_bytes(hashlib.md5(event.event_id.encode()).digest()[:8], "big", signed=True)
    assert entry.digest == digest
    assert entry.first_occurred_at <= entry.last_occurred_at <= entry.acknowledged_at


def test_outbox_and_ledger_together_are_what_committed(
    outbox: Outbox, topic: str, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    since = timezone.now() - timedelta(hours=1)
    # Ids with their time inside, as capture makes them.
    at = f"{int(timezone.now().timestamp() * 1000):012x}"
    published, parked = outbox.add(topic, "1", "2")
    outbox.run(
        "UPDATE auditlog_outboxevent SET event_id = (%s || substr(event_id::text, 15))::uuid, "
        "parked_at = CASE WHEN id = %s THEN now() END",
        f"{at[:8]}-{at[8:]}-",
        parked.id,
    )
    start_relay()
    wait_until(lambda: published.id in outbox.ledger())
    with acting_as(Role.READER, alias="default"):
        window = Window(since, timezone.now() + timedelta(minutes=1))
        found = dict(committed_ids(connections["default"], topic, window))
        (account,) = committed(connections["default"], window).values()
    assert {str(event_id)[19:]: waits for event_id, waits in found.items()} == {
        published.event_id[19:]: False,
        parked.event_id[19:]: True,
    }
    digest = 0
    for event_id in found:
        digest ^= int.from_bytes(hashlib.md5(str(event_id).encode()).digest()[:8], "big", signed=True)
    assert (account.events, account.pending, account.digest) == (2, 1, digest)


def test_old_entries_are_removed_by_the_relay_and_new_ones_kept(
    outbox: Outbox, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    _enter(outbox, "36 days", 3)
    _enter(outbox, "34 days", 2)
    purged = REGISTRY.get_sample_value("auditlog_relay_ledger_purged_total") or 0
    start_relay(ledger_days=35)
    wait_until(lambda: REGISTRY.get_sample_value("auditlog_relay_ledger_purged_total") == purged + 3)
    row = outbox.connection.execute(
        "SELECT count(*), bool_and(acknowledged_at > now() - interval '35 days') FROM auditlog_outboxledger"
    ).fetchone()
    assert row == (2, True)
    with acting_as(Role.READER, alias="default"):
        begin = accounted_since(connections["default"])
    days = timedelta(days=36)
    assert begin is not None
    assert minute_of(timezone.now() - days) <= begin <= minute_of(timezone.now() - days) + MINUTE


def test_a_purge_removes_no_more_than_it_is_told_and_looks_no_further(outbox: Outbox, connect_as: ConnectAs) -> None:
    _enter(outbox, "40 days", 5)
    connection = connect_as(Role.RELAY)
    assert [ledger.purge(connection, days=35, rows=3) for _ in range(3)] == [3, 2, 0]
    _enter(outbox, "1 day", 3)
    _enter(outbox, "40 days", 1)
    assert ledger.purge(connection, days=35, rows=3) == 0


def _enter(outbox: Outbox, age: str, entries: int) -> None:
    outbox.run(
        "INSERT INTO auditlog_outboxledger (topic, outbox_ids, event_ids, digest, relay, first_occurred_at, "
        "last_occurred_at, acknowledged_at) SELECT 'x', '{}', '{}', 0, 'x', now() - %s::interval, "
        "now() - %s::interval, now() - %s::interval FROM generate_series(1, %s)",
        age,
        age,
        age,
        entries,
    )
