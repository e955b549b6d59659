"""Connections that stay open between requests: nobody asks whether they still are, and one that is not is replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import close_old_connections, connection, connections

from auditlog import open_connections
from auditlog.roles import Role
from tests.conftest import ConnectAs

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The aliases whose server was asked whether the connection is usable."""
    found: list[str] = []
    for alias in connections:
        monkeypatch.setitem(connections[alias].settings_dict, "CONN_HEALTH_CHECKS", True)
        monkeypatch.setitem(connections[alias].settings_dict, "CONN_MAX_AGE", 60)
        connections[alias].close()
        is_usable: Callable[[], bool] = connections[alias].is_usable

        def asks(alias: str = alias, is_usable: Callable[[], bool] = is_usable) -> bool:
            found.append(alias)
            return is_usable()

        monkeypatch.setattr(connections[alias], "is_usable", asks)
    return found


def request_begins() -> None:
    """Do what the signal's receivers do, in their order; the framework's test client changes it."""
    close_old_connections()
    open_connections.trust_silent_ones()


def session() -> int:
    """Use the connection, and return which session of the server serves it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid: int = cursor.fetchone()[0]
    return pid


def test_a_request_asks_nothing_before_its_first_statement(asked: list[str]) -> None:
    before = session()
    request_begins()
    assert session() == before
    assert asked == []


def test_a_session_that_the_server_ended_is_replaced(asked: list[str], connect_as: ConnectAs) -> None:
    before = session()
    assert connect_as(Role.APP).execute("SELECT pg_terminate_backend(%s, 5000)", [before]).fetchone() == (True,)
    request_begins()
    assert session() != before
    assert asked == ["default"]
