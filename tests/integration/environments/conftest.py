"""Further database aliases for the length of a test, and PgBouncer (Debian: pgbouncer) in front of PostgreSQL."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from auditlog.frames import frames_scope
from tests.pooler import leave_out_without_pooler, pgbouncer  # noqa: F401

AddAlias = Callable[..., str]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of PgBouncer out where there is none."""
    leave_out_without_pooler(HERE, config=config, items=items)


@pytest.fixture(autouse=True)
def no_frames() -> Iterator[None]:
    """Begin without what other tests left open, as a request does."""
    with frames_scope():
        yield


@pytest.fixture
def add_alias(transactional_db: None, django_db_blocker: DjangoDbBlocker) -> Iterator[AddAlias]:
    """Add an alias that differs from `default` in these settings, and return its name."""
    added: list[str] = []

    def add(alias: str, *, options: dict[str, Any] | None = None, **settings: Any) -> str:
        database = copy.deepcopy(connections["default"].settings_dict)
        database["OPTIONS"].update(options or {})
        connections.databases[alias] = {**database, **settings}
        added.append(alias)
        return alias

    # Django's test case admits only the aliases that were there when it began.
    with django_db_blocker.unblock():
        yield add
    for alias in added:
        connection: Any = connections[alias]
        connection.close()
        connection.close_pool()
        del connections[alias]
        del connections.databases[alias]
