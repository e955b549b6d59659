"""
What every test may use: a database with the service's roles, a broker, and waiting for a condition.

`tests.stack` starts PostgreSQL and Kafka (see there how to use running ones). In a test `default` is `auditlog_app` and
`audit` is `auditlog_reader`, both on one physical database that `auditlog_owner` owns: what a test does, it does with
the rights of production. Mark a test `@pytest.mark.django_db(transaction=True, databases=["default", "audit"])`, or ask
for `transactional_db`, where commits matter (capture's on_commit, other connections); it is emptied by its owner.

`role_url(role)` is the database's address for a role, `connect_as(role)` an autocommit connection, `owner_connection`
that of the owner, who may read and change everything.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.core.cache import cache
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from pytest_django.plugin import DjangoDbBlocker

from auditlog.api import reads
from auditlog.roles import Role
from auditlog.turned_away import TurnedAway
from tests import database, extras

RoleUrl = Callable[[str], str]
ConnectAs = Callable[[str], psycopg.Connection[Any]]
WaitUntil = Callable[..., Any]
Events = Callable[[], list[dict[str, Any]]]
EVENTS = "SELECT id, value FROM auditlog_outboxevent WHERE id > %s ORDER BY id"
DEADLINE_SECONDS = 30
POLL_SECONDS = 0.02
# How fast a machine is, and what else it does meanwhile, decides about no law.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which tests did not run because the machine lacks a program."""
    extras.report(terminalreporter, config)


def _empty(_case: TransactionTestCase) -> None:
    database.empty()


@pytest.fixture(autouse=True)
def nobody_has_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rate limits and the count of those who are turned away begin anew: a process keeps them, a test must not."""
    cache.clear()
    monkeypatch.setattr(reads, "turned_away", TurnedAway())


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Make the database; Django's own flush is replaced, since the application's role owns no table."""
    original = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
    TransactionTestCase._fixture_teardown = _empty  # type: ignore[attr-defined]
    with django_db_blocker.unblock(), database.made_database(f"test_clinic_{os.getpid()}"):
        yield
    TransactionTestCase._fixture_teardown = original  # type: ignore[attr-defined]


@pytest.fixture
def role_url(django_db_setup: None) -> RoleUrl:
    """Return the address of the test database for a role."""
    return lambda role: database.role_address(str(role))


@pytest.fixture
def connect_as(role_url: RoleUrl) -> Iterator[ConnectAs]:
    """Connect to the test database as a role, in autocommit mode; closed after the test."""
    opened: list[psycopg.Connection[Any]] = []

    def connect(role: str) -> psycopg.Connection[Any]:
        opened.append(psycopg.connect(role_url(role), autocommit=True))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def owner_connection(connect_as: ConnectAs) -> psycopg.Connection[Any]:
    """An autocommit connection as the tables' owner."""
    return connect_as(Role.OWNER)


@pytest.fixture
def events(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Events:
    """Return the committed events since the last call, in the order of the outbox; only its owner may read it."""
    seen = 0

    def take() -> list[dict[str, Any]]:
        nonlocal seen
        rows = owner_connection.execute(EVENTS, [seen]).fetchall()
        seen = max([seen, *(number for number, _ in rows)])
        return [json.loads(value) for _, value in rows]

    take()
    return take


@pytest.fixture(scope="session")
def kafka_bootstrap() -> str:
    """The address of the broker."""
    return os.environ["KAFKA_BOOTSTRAP_SERVERS"]


@pytest.fixture
def topic_prefix() -> str:
    """A first part of topic names that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def wait_until() -> WaitUntil:
    """Wait until a condition holds and return its value; fail when it does not within `timeout` seconds."""

    def wait(condition: Callable[[], Any], timeout: float = DEADLINE_SECONDS) -> Any:
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{condition} did not hold within {timeout} seconds"
            time.sleep(POLL_SECONDS)
        return value

    return wait
