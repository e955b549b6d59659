"""The acceptance tests of a version, on the schema of the version after it: what its users rely on goes on working."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.database import MIGRATE_WITH
from tests.trees import ROOT

# Imports and calls over HTTP, each from the first write to the audit log; in processes of the version's own code.
SUITE = ("tests/acceptance/pipeline/test_api.py", "tests/acceptance/pipeline/test_import.py", "-k", "not official")
LIMIT_SECONDS = 900
pytestmark = [pytest.mark.processes, pytest.mark.timeout(LIMIT_SECONDS)]


def passed(tree: Path, *, schema: Path) -> str:
    """Return what pytest says of a version's acceptance tests, in a database that another version's code migrated."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *SUITE]
    environment = {**os.environ, MIGRATE_WITH: str(schema)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_this_version_works_on_the_schema_of_the_next_one(django_db_setup: None, next_tree: Path) -> None:
    assert "2 passed" in passed(ROOT, schema=next_tree)


def test_the_next_version_works_before_the_contract_step_and_after_it(
    django_db_setup: None, next_tree: Path, later_tree: Path
) -> None:
    for schema in (next_tree, later_tree):
        assert "2 passed" in passed(next_tree, schema=schema)
