"""
Tries the upgrade from an older version in this repository's history to the working tree.

The acceptance tests of each version run in a database that the older version made and the working tree migrated; then
both versions run side by side under load. `make test` does the same with a version that it makes up.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.database import MIGRATE_WITH
from tests.stack import say, stack
from tests.trees import ROOT, python_of

REQUIREMENTS = Path("requirements/dev.txt")
# What the service does, seen from outside. The tests of the developer's stack are not among them: it makes servers and
# databases of its own.
SUITE = ("tests/acceptance/pipeline",)
SIDE_BY_SIDE = "tests/acceptance/upgrade/side_by_side.py"


def main() -> int:
    """Run all three; 1 where one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("old", help="the older version: a tag or a commit")
    parser.add_argument("tests", nargs="*", default=SUITE, help="what runs both ways (%(default)s)")
    options = parser.parse_args()
    old = options.old
    # The servers end with this process also where it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="auditlog-upgrade-") as folder:
        tree = checked_out(old, to=Path(folder) / "old")
        install(tree)
        stack.start(progress=say)
        try:
            failed = [label for label, passes in tried(old, tree, options.tests) if not passes]
        finally:
            stack.stop()
    for label in failed:
        say(f"FAILED: {label}")
    return 1 if failed else 0


def checked_out(commit: str, *, to: Path) -> Path:
    """Write the files of a commit, and return where they are."""
    to.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if archive.returncode:
        raise SystemExit(f"There is no {commit} here: fetch it (git fetch --unshallow --tags), or name another: OLD=…")
    subprocess.run(["tar", "-x"], cwd=to, input=archive.stdout, check=True)
    return to


def install(tree: Path) -> None:
    """Give the version an environment of its own where it requires something else than the working tree."""
    if (tree / REQUIREMENTS).read_bytes() != (ROOT / REQUIREMENTS).read_bytes():
        say("Its requirements are others: installing them …")
        subprocess.run(["make", ".venv/.installed"], cwd=tree, check=True)


def tried(old: str, tree: Path, tests: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield what was tried, and whether it passed."""
    migrated = {MIGRATE_WITH: os.pathsep.join((str(tree), str(ROOT)))}
    yield f"{old} on the new schema", pytest(*tests, tree=tree, **migrated)
    yield "the working tree on the new schema", pytest(*tests, tree=ROOT, **migrated)
    yield "both side by side", pytest(SIDE_BY_SIDE, tree=ROOT, UPGRADE_FROM=str(tree))


def pytest(*tests: str, tree: Path, **variables: str) -> bool:
    """Run those tests that a tree has, and tell whether they pass."""
    there = [name for name in tests if (tree / name).exists()]
    say(f"{' '.join(there)} in {tree}")
    command = [python_of(tree), "-m", "pytest", "-q", *there]
    return subprocess.run(command, cwd=tree, env={**os.environ, **variables}, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
