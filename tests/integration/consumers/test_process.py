"""Consumers that are killed, joined and stopped: every event is stored exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditlog.models import AuditLog
from auditlog.roles import Role
from tests.integration.consumers.conftest import Connect, stored_ids
from tests.integration.consumers.processes import consumer, environment, wait_until
from tests.integration.consumers.topics import Topic, events, ids_of, new_prefix

pytestmark = [pytest.mark.django_db(transaction=True, databases=["default", "audit"]), pytest.mark.processes]

CLOSED_PORT = "127.0.0.1:1"


@pytest.fixture
def prefix() -> str:
    """A prefix of topics of the test's own."""
    return new_prefix()


@pytest.fixture
def topic(prefix: str, read_model: None) -> Iterator[Topic]:
    """The one topic that every consumer reads, whatever models are registered."""
    made = Topic(name=f"{prefix}.auditlog.system.events", partitions=4)
    made.create()
    yield made
    made.delete()


def stored_count() -> int:
    """Return how many events the read model holds."""
    return AuditLog.objects.using("default").count()


def test_i6_a_consumer_killed_inside_a_batch_stores_each_event_once(
    topic: Topic, prefix: str, tmp_path: Path, as_role: Connect
) -> None:
    values = events(400)
    topic.produce(values, partition=0)
    variables = environment(prefix=prefix, CONSUMER_BATCH_ROWS="40")
    # A transaction that holds one event's id blocks the batch of this event between its offsets and its commit.
    blocker = as_role(Role.OWNER)
    blocker.autocommit = False
    blocker.execute(
        "INSERT INTO auditlog_auditlog (event_id, occurred_at, model, action, category, topic, partition, "
        "\"offset\", sequence) VALUES (%s, now(), '', '', '', '', 0, 0, '')",
        [ids_of(values)[130]],
    )
    (xid,) = blocker.execute("SELECT pg_current_xact_id()::xid::text").fetchone() or ("",)
    with consumer(tmp_path / "one.log", variables) as first:
        watcher = as_role(Role.OWNER)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid::text = %s"
        wait_until(lambda: watcher.execute(waiting, [xid]).fetchone() == (1,), of=first)
        assert 0 < stored_count() <= 130
        first.kill()
    blocker.rollback()
    with consumer(tmp_path / "two.log", variables) as second:
        wait_until(lambda: stored_count() >= 400, of=second)
        assert second.terminate() == 0
    assert stored_ids() == ids_of(values)


def test_i6_two_consumers_share_the_work_and_survive_a_rebalance(topic: Topic, prefix: str, tmp_path: Path) -> None:
    values = events(3_000)
    variables = environment(prefix=prefix, CONSUMER_BATCH_ROWS="25")
    topic.produce(values[:1_000])
    with consumer(tmp_path / "one.log", variables) as first, consumer(tmp_path / "two.log", variables) as second:
        wait_until(lambda: stored_count() > 100, of=first)
        wait_until(lambda: first.says("consumer.assigned") and second.says("consumer.assigned"), of=second)
        topic.produce(values[1_000:2_000])
        wait_until(lambda: stored_count() > 1_200, of=first)
        first.kill()
        topic.produce(values[2_000:])
        wait_until(lambda: stored_count() >= 3_000, of=second)
        assert second.terminate() == 0
    assert sorted(stored_ids()) == sorted(ids_of(values))


def test_a_consumer_waits_for_kafka_and_says_so(prefix: str, tmp_path: Path, read_model: None) -> None:
    variables = environment(prefix=prefix, KAFKA_BOOTSTRAP_SERVERS=CLOSED_PORT)
    with consumer(tmp_path / "log", variables) as process:
        wait_until(lambda: process.says("consumer.waiting_for_kafka"), of=process)
        assert process.is_running()
        assert process.terminate() == 0


def test_a_consumer_waits_for_postgresql_and_says_so(topic: Topic, prefix: str, tmp_path: Path) -> None:
    nowhere = f"postgres://auditlog_consumer@{CLOSED_PORT}/nowhere"
    variables = environment(prefix=prefix, DATABASE_URL=nowhere, AUDIT_DATABASE_URL=nowhere)
    with consumer(tmp_path / "log", variables) as process:
        wait_until(lambda: process.says("consumer.waiting_for_database"), of=process)
        assert process.is_running()
        assert process.terminate() == 0


def test_a_consumer_that_is_asked_to_stop_finishes_and_says_so(topic: Topic, prefix: str, tmp_path: Path) -> None:
    values = events(10)
    topic.produce(values)
    with consumer(tmp_path / "log", environment(prefix=prefix)) as process:
        wait_until(lambda: stored_count() == 10, of=process)
        assert process.terminate() == 0
        assert process.says("consumer.stopped")
        assert "Traceback" not in process.text()
