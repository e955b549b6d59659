"""The continuous proof: closed minutes are remembered, late commits and later losses are noticed, ids are named."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings

from auditlog import topics
from auditlog.queries.accounts import MINUTE, minute_of
from auditlog.roles import Role
from consumers.models import ReconciledMinute
from consumers.projector import Projector
from consumers.reconciliation.comparison import Sides
from consumers.reconciliation.memory import Memory, Progress
from consumers.reconciliation.rounds import Rounds
from consumers.records import Batch, Partition
from doctors.models import Department
from publishers import ledger
from tests.conftest import ConnectAs
from tests.integration.consumers.books import TOPIC, acknowledge, execute, reconciled, store, wait_in_outbox
from tests.integration.consumers.conftest import acting_as
from tests.integration.consumers.processes import consumer, database_url, environment, wait_until
from tests.unit.consumers.builders import record, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
AGO = timedelta(minutes=10)
BREAK = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'auditlog-audit_reconcile'"


class Proof:
    """Rounds with the rights of the reconciler: the outbox as the reader, the read model as the consumer."""

    def __init__(self) -> None:
        self.memory = Memory(connections["audit"])
        self.rounds = Rounds(Sides(connections["default"], connections["audit"]), self.memory)

    def round(self) -> Progress:
        """Run a round."""
        with acting_as(Role.READER, alias="default"), acting_as(Role.CONSUMER):
            return self.rounds.run()


@pytest.fixture
def proof(read_model: None, settings: Settings) -> Proof:
    settings.AUDITLOG_TOPIC_PREFIX = TOPIC.partition(".")[0]
    return Proof()


def metric(name: str, **labels: str) -> float | None:
    """Return the value of a metric."""
    return REGISTRY.get_sample_value(name, labels)


def difference(kind: str, topic: str = TOPIC) -> float | None:
    """Return how many events of a topic differ."""
    return metric("auditlog_reconciliation_difference", kind=kind, topic=topic)


def remembered() -> list[tuple[str, datetime, int, bool]]:
    """Return what is remembered: topic, minute, events, whether it is open."""
    with acting_as(Role.CONSUMER):
        rows = ReconciledMinute.objects.using("audit").order_by("minute", "topic")
        return list(rows.values_list("topic", "minute", "events", "is_open"))


def named(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the ids that the log has named as different."""
    found: list[str] = []
    for entry in caplog.records:
        message: Any = entry.msg
        if isinstance(message, dict) and message.get("event") == "reconcile.difference":
            found += message["events"]
    return found


def test_minutes_that_are_equal_are_remembered_and_not_compared_again(proof: Proof) -> None:
    at = timezone.now() - AGO
    one, other = uuid7(at), uuid7(at + MINUTE)
    acknowledge(one, at=at)
    acknowledge(other, at=at + MINUTE)
    store(one, at=at)
    store(other, at=at + MINUTE, partition=1)
    progress = proof.round()
    assert remembered() == [(TOPIC, minute_of(at), 1, False), (TOPIC, minute_of(at) + MINUTE, 1, False)]
    assert minute_of(timezone.now()) - 2 * MINUTE <= progress.closed_until <= minute_of(timezone.now())
    assert difference("lost") == 0
    assert proof.round().swept_until > minute_of(at)
    # Nothing but the sweep of the two minutes, and the empty minute that may have passed meanwhile.
    with connections["default"].execute_wrapper(counted := Counted()):
        proof.round()
    assert counted.of("auditlog_outboxledger") <= 2


def test_a_topic_that_was_moved_is_one_account_with_what_it_was_moved_to(proof: Proof) -> None:
    at = timezone.now() - AGO
    one, other = uuid7(at), uuid7(at)
    acknowledge(one, other, at=at)
    store(one, at=at)
    store(other, at=at, topic=f"{TOPIC}.v2")
    proof.round()
    assert remembered() == [(TOPIC, minute_of(at), 2, False)]
    assert difference("lost") == 0


class Counted:
    """Counts the statements that pass."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.statements.append(sql)
        return execute(sql, params, many, context)

    def of(self, text: str) -> int:
        """Return how many statements have a text."""
        return sum(text in statement for statement in self.statements)


def test_lost_events_are_named_and_counted_until_they_are_stored(
    proof: Proof, caplog: pytest.LogCaptureFixture
) -> None:
    at = timezone.now() - AGO
    kept, lost, waiting = (uuid7(at) for _ in range(3))
    acknowledge(kept, lost, at=at)
    wait_in_outbox(waiting, at=at)
    store(kept, at=at)
    proof.round()
    assert named(caplog) == [str(lost)]
    assert difference("lost") == 1
    assert metric("auditlog_reconciliation_pending_events") == 1
    assert remembered() == [(TOPIC, minute_of(at), 3, True)]
    store(lost, at=at, partition=1)
    proof.round()
    assert difference("lost") == 0
    assert remembered() == [(TOPIC, minute_of(at), 3, True)]
    execute("UPDATE auditlog_outboxevent SET parked_at = now() WHERE event_id = %s", [waiting])
    store(waiting, at=at, partition=2)
    proof.round()
    assert remembered() == [(TOPIC, minute_of(at), 3, False)]


def test_a_difference_is_counted_for_its_own_topic_and_is_zero_for_every_other(proof: Proof) -> None:
    at = timezone.now() - AGO
    here, there, gone = f"{TOPIC}.events", "test.doctors.specialty", "test.doctors.of_another_time"
    acknowledge(uuid7(at), uuid7(at), at=at, topic=here)
    acknowledge(uuid7(at), at=at, topic=there)
    acknowledge(uuid7(at), at=at, topic=gone)
    proof.round()
    lost = {topic: difference("lost", topic) for topic in (*topics.all_topics(), "unregistered")}
    expected = {here: 2, there: 1, "unregistered": 1}
    assert lost == {topic: expected.get(topic, 0) for topic in lost}
    assert all(difference("unaccounted", topic) == 0 for topic in lost)
    # The names of topics are a closed set, whatever the ledger holds.
    assert difference("lost", gone) is None


def test_a_minute_with_a_transaction_under_way_is_compared_again_when_it_has_ended(
    proof: Proof, connect_as: ConnectAs, caplog: pytest.LogCaptureFixture
) -> None:
    """The writer holds its transaction for longer than a minute; its event is dated in the minute that has passed."""
    writer = connect_as(Role.OWNER)
    writer.autocommit = False
    writer.execute("SELECT pg_current_xact_id()")
    at = timezone.now() - AGO
    early, late = uuid7(at), uuid7(at)
    acknowledge(early, at=at)
    store(early, at=at)
    progress = proof.round()
    assert progress.compared_until > minute_of(at)
    assert progress.closed_until <= minute_of(at)
    _acknowledge_in(writer, late, at)
    writer.commit()
    progress = proof.round()
    assert progress.closed_until > minute_of(at)
    assert named(caplog) == [str(late)]
    assert difference("lost") == 1


def _acknowledge_in(connection: psycopg.Connection[Any], event_id: Any, at: datetime) -> None:
    connection.execute(
        "INSERT INTO auditlog_outboxledger (topic, outbox_ids, event_ids, digest, relay, first_occurred_at, "
        "last_occurred_at, acknowledged_at) VALUES (%s, '{}', %s, 0, 'x', %s, %s, now())",
        [TOPIC, [event_id], at, at],
    )


def test_the_transaction_of_an_event_has_its_number_before_the_event_has_its_time(proof: Proof) -> None:
    """Otherwise a mark taken between the two would call a minute closed that an event is still to appear in."""
    Department.objects.create(code="CARD", name="Cardiology")
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname IN ('auditlog_append', 'auditlog_send_content')")
        sources = [source for (source,) in cursor.fetchall()]
    assert len(sources) == 2
    assert all(0 < source.index("pg_current_xact_id") < source.index("clock_timestamp") for source in sources)


def test_a_row_that_is_removed_later_is_noticed(
    proof: Proof, caplog: pytest.LogCaptureFixture, read_model: None
) -> None:
    at = timezone.now() - AGO
    kept, removed = uuid7(at), uuid7(at)
    acknowledge(kept, removed, at=at)
    store(kept, removed, at=at)
    proof.round()
    execute("DELETE FROM auditlog_auditlog WHERE event_id = %s", [removed])
    proof.round()
    assert named(caplog) == [str(removed)]


def test_a_row_that_is_removed_after_the_ledger_has_forgotten_it_is_noticed(
    proof: Proof, connect_as: ConnectAs, caplog: pytest.LogCaptureFixture
) -> None:
    at = timezone.now() - timedelta(hours=30)
    kept, removed = uuid7(at), uuid7(at)
    acknowledge(kept, removed, at=at, acknowledged_at=at)
    store(kept, removed, at=at)
    proof.round()
    assert ledger.purge(connect_as(Role.RELAY), days=1, rows=10) == 1
    proof.round()
    assert difference("lost") == 0
    execute("DELETE FROM auditlog_auditlog WHERE event_id = %s", [removed])
    proof.round()
    assert difference("lost") == 1
    assert remembered() == [(TOPIC, minute_of(at), 2, True)]


def test_what_the_ledger_has_forgotten_is_not_compared_and_said_so(proof: Proof, connect_as: ConnectAs) -> None:
    old, new = timezone.now() - timedelta(hours=30), timezone.now() - AGO
    forgotten, known = uuid7(old), uuid7(new)
    acknowledge(forgotten, at=old, acknowledged_at=old)
    store(forgotten, at=old)
    acknowledge(known, at=new)
    store(known, at=new, partition=1)
    assert ledger.purge(connect_as(Role.RELAY), days=1, rows=10) == 1
    report, code = reconciled("--from", "2020-01-01T00:00:00Z")
    assert code == 0
    assert report["accounted_since"] == (minute_of(old) + MINUTE).isoformat()
    assert (report["committed"], report["stored"], report["unaccounted"]) == (1, 1, 0)


def test_an_event_that_nobody_committed_is_a_difference_once_its_minute_is_closed(
    proof: Proof, caplog: pytest.LogCaptureFixture
) -> None:
    at = timezone.now() - AGO
    committed, forged = uuid7(at), uuid7(at)
    acknowledge(committed, at=at)
    store(committed, forged, at=at)
    proof.round()
    assert named(caplog) == [str(forged)]
    assert difference("unaccounted") == 1


def test_a_dead_letter_that_names_its_event_is_no_loss(proof: Proof) -> None:
    at = timezone.now() - AGO
    dead = uuid7(at)
    acknowledge(dead, at=at)
    place = Partition(TOPIC, 0)
    bad = record(b"{", partition=place, headers=[("ce_id", str(dead).encode())])
    nameless = record(b"{", partition=place, offset=1, headers=[("ce_id", b"no id")])
    Projector(group="test").store(Batch((bad, nameless), {place: None}))
    report, code = reconciled()
    assert (report["missing"], report["stored"], report["unaccounted"], code) == ([], 1, 0, 0)
    proof.round()
    assert remembered() == [(TOPIC, minute_of(at), 1, False)]


def test_events_that_a_wrong_clock_dated_in_a_closed_minute_are_noticed(proof: Proof) -> None:
    """The server's clock was set back: an event appears in a minute that was closed before."""
    at = timezone.now() - AGO
    first = uuid7(at)
    acknowledge(first, at=at)
    store(first, at=at)
    proof.round()
    late = uuid7(at)
    acknowledge(late, at=at)
    store(late, at=at, partition=1)
    proof.round()
    assert remembered() == [(TOPIC, minute_of(at), 2, False)]
    assert difference("unaccounted") == 0


def test_many_ids_that_differ_only_by_which_are_told_apart(proof: Proof) -> None:
    """As many events on both sides, and other ids: the digest tells."""
    at = timezone.now() - AGO
    here, there = [uuid7(at) for _ in range(50)], [uuid7(at) for _ in range(50)]
    acknowledge(*here, at=at)
    store(*here[:-1], there[0], at=at)
    report, code = reconciled()
    assert (report["committed"], report["stored"], code) == (50, 50, 1)
    assert (report["missing"], report["unaccounted"]) == ([str(here[-1])], 1)
    assert report["unaccounted_ids"] == [str(there[0])]


def test_the_loop_names_what_is_lost_and_ends_at_a_signal(read_model: None, tmp_path: Path) -> None:
    at = timezone.now() - AGO
    lost = uuid7(at)
    acknowledge(lost, at=at)
    roles = {"DATABASE_URL": database_url(Role.READER), "AUDIT_DATABASE_URL": database_url(Role.CONSUMER)}
    command = ("audit_reconcile", "--every", "0.2")
    with consumer(tmp_path / "log", environment(prefix="test", **roles), command=command) as running:
        wait_until(lambda: str(lost) in running.text(), of=running)
        # Its connections break; the next round makes new ones.
        with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin:
            admin.execute(BREAK)
        wait_until(lambda: running.says("reconcile.database_unavailable"), of=running)
        store(lost, at=at)
        wait_until(lambda: running.says("reconcile.settled"), of=running)
        assert running.terminate() == 0
    assert remembered() == [(TOPIC, minute_of(at), 1, False)]
