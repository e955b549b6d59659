"""Further database aliases for the length of a test, and PgBouncer (Debian: pgbouncer) in front of PostgreSQL."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from auditlog.frames import frames_scope
from auditlog.roles import Role
from devstack import ports
from devstack.postgres import running_as, system_user
from tests.conftest import WaitUntil
from tests.extras import fixtures_of, leave_out_without

AddAlias = Callable[..., str]
HERE = Path(__file__).parent
PGBOUNCER = "pgbouncer"
CONFIGURATION = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = extra_float_digits,options
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of PgBouncer out where there is none."""
    leave_out_without(
        (PGBOUNCER,),
        tests="tests behind a pooler",
        packages="pgbouncer",
        needs=lambda item: item.path.is_relative_to(HERE) and "pgbouncer" in fixtures_of(item),
        config=config,
        items=items,
    )


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


@pytest.fixture
def pgbouncer(django_db_setup: None, wait_until: WaitUntil) -> Iterator[int]:
    """Start a pooler in transaction mode with two server connections, and return its port."""
    server = urlsplit(os.environ["TEST_POSTGRES_ADMIN_URL"])
    port = ports.free_port()
    with _folder() as folder:
        configuration, users, log = folder / "pgbouncer.ini", folder / "users", folder / "log"
        users.write_text("".join(f'"{role}" ""\n' for role in Role), encoding="utf-8")
        text = CONFIGURATION.format(host=server.hostname, server_port=server.port, port=port, users=users)
        configuration.write_text(text, encoding="utf-8")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PGBOUNCER, str(configuration)], stdout=output, stderr=output, **running_as(system_user())
            )
        try:
            wait_until(lambda: process.poll() is not None or ports.answers(port))
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield port
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def _folder() -> Iterator[Path]:
    """A directory that the pooler's own user can read: it refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="auditlog-pgbouncer-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
