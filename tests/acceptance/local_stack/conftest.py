"""One local stack for the tests of this folder; each test leaves it running or stopped, the next one starts it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.local_stack.stack import LocalStack


@pytest.fixture(scope="module")
def made_stack() -> Iterator[LocalStack]:
    """A stack in a folder of its own, whose name has what a careless program trips over; not started yet."""
    with tempfile.TemporaryDirectory(prefix="auditlog-devstack-") as folder:
        # PostgreSQL's own user must reach its data below it.
        Path(folder).chmod(0o755)
        stack = LocalStack(Path(folder).resolve() / "data für alle")
        yield stack
        stack.clean()


@pytest.fixture
def stack(made_stack: LocalStack) -> LocalStack:
    """A stack that runs."""
    made_stack.start()
    return made_stack
