"""PgBouncer in transaction mode before the test database; `conftest.py` imports the fixture for tests that ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.extras import fixtures_of, leave_out_without
from tests.faults.pooler import PROGRAM, pooler


def leave_out_without_pooler(folder: Path, *, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of PgBouncer in a folder out where there is none."""
    leave_out_without(
        (PROGRAM,),
        tests=f"tests behind a pooler in {folder.name}",
        packages="pgbouncer",
        needs=lambda item: item.path.is_relative_to(folder) and "pgbouncer" in fixtures_of(item),
        config=config,
        items=items,
    )


@pytest.fixture
def pgbouncer(django_db_setup: None) -> Iterator[int]:
    """Start a pooler in transaction mode with two server connections, and return its port."""
    server = urlsplit(os.environ["TEST_POSTGRES_ADMIN_URL"])
    assert server.hostname is not None
    assert server.port is not None
    with pooler(host=server.hostname, server_port=server.port, connections=2) as port:
        yield port
