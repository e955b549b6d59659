"""Servers of these tests' own, which they kill; each test has a clean database and topics of its own on them."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from auditlog.roles import Role
from tests.acceptance.pipeline.books import Books
from tests.acceptance.pipeline.services import RELAY, Deployment
from tests.faults.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Both servers, and a migrated database to copy."""
    made = Servers()
    # Also where the session ends in the middle of a test.
    atexit.register(made.stop)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        atexit.unregister(made.stop)


@pytest.fixture
def deployment(servers: Servers, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Nothing but a database and topics, yet; what a test starts is ended after it."""
    # A test that failed may have left one of them dead or frozen.
    servers.heal()
    database = topic_prefix.replace("-", "_")
    servers.make_database(database)
    made = servers.deployment(
        address=lambda role: servers.domain.url(role=role, database=database), prefix=topic_prefix, folder=tmp_path
    )
    with closing(made):
        made.wait_until(servers.are_ready, what="the servers")
        made.run("topics", "kafka_topics", roles=RELAY)
        yield made


@pytest.fixture
def books(deployment: Deployment) -> Iterator[Books]:
    """The deployment's books."""
    with closing(
        Books(url=deployment.address(Role.OWNER), bootstrap=deployment.bootstrap, prefix=deployment.prefix)
    ) as opened:
        yield opened
