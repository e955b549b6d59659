"""One database and one set of topics, on which deployments of several versions run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from auditlog.roles import Role, create_roles
from tests import database
from tests.acceptance.pipeline.books import Books
from tests.acceptance.pipeline.conftest import delete_topics
from tests.acceptance.pipeline.services import Deployment
from tests.trees import ROOT
from tests.upgrade.versions import later_version, next_version

# The version whose tree this is -> its processes, on the database that all of them share.
Deploy = Callable[[Path], Deployment]


@pytest.fixture(scope="session")
def next_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the next version."""
    return next_version(tmp_path_factory.mktemp("next") / "tree")


@pytest.fixture(scope="session")
def later_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the version after the next one."""
    return later_version(tmp_path_factory.mktemp("later") / "tree")


@pytest.fixture
def deploy(django_db_setup: None, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deploy]:
    """Return a function that deploys a version on an empty database; what it starts is ended after the test."""
    name = topic_prefix.replace("-", "_")
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin, ExitStack() as stack:
        create_roles(admin, database=name, passwords={})
        stack.callback(admin.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        stack.callback(delete_topics, kafka_bootstrap, topic_prefix)

        def deployed(tree: Path) -> Deployment:
            folder = tmp_path / f"{tree.parent.name}-{tree.name}"
            folder.mkdir()
            made = Deployment(
                address=lambda role: database.role_address(role, database=name),
                bootstrap=kafka_bootstrap,
                prefix=topic_prefix,
                folder=folder,
                root=tree,
            )
            return stack.enter_context(closing(made))

        yield deployed


@pytest.fixture
def this_version(deploy: Deploy) -> Deployment:
    """This version, of which nothing is there yet."""
    return deploy(ROOT)


@pytest.fixture
def books(this_version: Deployment) -> Iterator[Books]:
    """The books of the database that the versions share."""
    url = this_version.address(Role.OWNER)
    with closing(Books(url=url, bootstrap=this_version.bootstrap, prefix=this_version.prefix)) as opened:
        yield opened
