"""A commit wakes the relay; a rollback does not; many commits share a hint."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from prometheus_client import REGISTRY

from auditlog.roles import Role
from doctors.models import Department
from publishers.wake import CHANNEL, INTERVAL_SECONDS, Waker, waker
from tests.conftest import ConnectAs, WaitUntil
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.rows import Outbox

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def listener(transactional_db: None, connect_as: ConnectAs) -> psycopg.Connection[Any]:
    """A connection that hears hints, and none of an earlier test."""
    waker.flush()
    connection = connect_as(Role.RELAY)
    connection.execute(f"LISTEN {CHANNEL}")
    return connection


def heard(connection: psycopg.Connection[Any], *, seconds: float = 10, hints: int | None = 1) -> int:
    """Return how many hints came, waiting for so many."""
    return len(list(connection.notifies(timeout=seconds, stop_after=hints)))


def count(name: str, **labels: str) -> float:
    """Return the value of a metric."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_commit_is_followed_by_a_hint_and_a_rollback_by_none(listener: psycopg.Connection[Any]) -> None:
    with transaction.atomic():
        Department.objects.create(code="A", name="a")
        transaction.set_rollback(True)
    # The waker keeps order: had the rollback left a hint, it would go out before the next database's.
    waker.flush()
    assert heard(listener, seconds=0) == 0
    with transaction.atomic():
        Department.objects.create(code="B", name="b")
    assert heard(listener) == 1


def test_a_hint_is_sent_in_autocommit_mode_too_and_finds_its_event(
    listener: psycopg.Connection[Any], outbox: Outbox
) -> None:
    Department.objects.create(code="A", name="a")
    assert heard(listener) == 1
    assert len(outbox.ids()) == 1


def test_many_commits_share_a_hint(listener: psycopg.Connection[Any]) -> None:
    xacts = "SELECT clock_timestamp()"
    start = listener.execute(xacts).fetchone()
    for number in range(100):
        Department.objects.create(code=str(number), name="a")
    waker.flush()
    end = listener.execute(xacts).fetchone()
    assert start is not None
    assert end is not None
    intervals = (end[0] - start[0]).total_seconds() / INTERVAL_SECONDS
    # One for each interval that passed, one at its beginning, and the flush.
    assert 1 <= heard(listener, seconds=0, hints=None) <= min(intervals + 2, 99)


def test_a_hint_costs_the_writer_no_statement(
    listener: psycopg.Connection[Any], django_assert_num_queries: Callable[[int], Any]
) -> None:
    Department.objects.create(code="A", name="a")
    assert heard(listener) == 1
    with django_assert_num_queries(1):
        Department.objects.create(code="B", name="b")
    assert heard(listener) == 1


def test_a_fork_wakes_with_a_connection_of_its_own_and_leaves_its_parent_s_alone(
    listener: psycopg.Connection[Any],
) -> None:
    own = Waker()
    own.wake(using="default")
    assert heard(listener) == 1
    child = os.fork()
    if not child:
        signal.alarm(20)
        code = 1
        try:
            own.wake(using="default")
            own.flush()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert heard(listener) == 1
    failures = count("auditlog_wake_failures_total")
    own.wake(using="default")
    assert heard(listener) == 1
    assert count("auditlog_wake_failures_total") == failures, "the child did not end the parent's connection"


def test_each_database_is_woken_by_a_connection_to_it(
    listener: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = count("auditlog_wake_failures_total")
    own = Waker()
    monkeypatch.setitem(connections["audit"].settings_dict, "NAME", "no_such_database")
    own.wake(using="audit")
    own.wake(using="default")
    assert heard(listener) == 1
    own.flush()
    assert count("auditlog_wake_failures_total") == failures + 1


def test_a_hint_that_fails_does_not_end_those_that_follow(
    listener: psycopg.Connection[Any], owner_connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Waker()
    with monkeypatch.context() as patched:
        patched.setitem(connections["default"].settings_dict, "PORT", "1")
        own.wake(using="default")
        own.flush()
    own.wake(using="default")
    assert heard(listener) == 1


def test_an_idle_relay_that_hardly_polls_publishes_a_commit_at_once(
    outbox: Outbox, start_relay: StartRelay, topic: str, wait_until: WaitUntil, wait_for_empty: Callable[[], None]
) -> None:
    relay = start_relay(poll_seconds=3_600.0)
    relay.leases.seconds = 3_600
    relay.leases.hurry()
    outbox.add(topic, "1")
    wait_for_empty()
    # It has rested for longer each time, and would look again in an hour.
    wait_until(lambda: relay.relay._pauses.seconds > 5)
    (event,) = outbox.add(topic, "1")
    waker.wake(using="default")
    wait_until(lambda: event.id in outbox.ledger(), timeout=2)
