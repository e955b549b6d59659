"""A deployment on the session's servers, with a clean database and topics of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from auditlog.roles import Role
from tests.acceptance.pipeline.books import Books
from tests.acceptance.pipeline.services import RELAY, Deployment
from tests.conftest import RoleUrl

TIMEOUT_SECONDS = 30


@pytest.fixture
def deployment(
    transactional_db: None, role_url: RoleUrl, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> Iterator[Deployment]:
    """Nothing but topics, yet; what a test starts is ended after it."""
    made = Deployment(address=role_url, bootstrap=kafka_bootstrap, prefix=topic_prefix, folder=tmp_path)
    with closing(made):
        made.run("topics", "kafka_topics", roles=RELAY)
        yield made
    delete_topics(kafka_bootstrap, topic_prefix)


@pytest.fixture
def books(deployment: Deployment) -> Iterator[Books]:
    """The deployment's books."""
    with closing(
        Books(url=deployment.address(Role.OWNER), bootstrap=deployment.bootstrap, prefix=deployment.prefix)
    ) as opened:
        yield opened


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Remove the topics of a test from the session's broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=TIMEOUT_SECONDS).topics if name.startswith(f"{prefix}.")]
    for deleted in admin.delete_topics(names).values():
        deleted.result(TIMEOUT_SECONDS)
