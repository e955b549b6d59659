"""
Versions that come after this one, made of the working tree: a checkout may know no other version, and none is out yet.

`next_version` has other code and the expand step that it needs: a column in the outbox, the audit log and the domain,
a capture function with one more argument beside the old one, one more member of the event, another version number.
`later_version` is the one after it, whose contract step takes away what only this version uses.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.mutations.table import Mutation
from tests.trees import copied

HERE = Path(__file__).parent
CHANGES = HERE / "next.toml"
STEPS = HERE / "migrations"
# Stands for the name of the newest migration of the app.
NEWEST = "__newest__"


def next_version(to: Path) -> Path:
    """Make the tree of the next version."""
    tree = copied(to)
    for change in changes():
        target = tree / change.file
        target.write_text(change.applied(target.read_text(encoding="utf-8")), encoding="utf-8")
    for app in ("auditlog", "doctors"):
        _add_step(tree, app=app, step="expand")
    return tree


def later_version(to: Path) -> Path:
    """Make the tree of the version after the next one."""
    tree = next_version(to)
    _add_step(tree, app="auditlog", step="contract")
    return tree


def changes() -> list[Mutation]:
    """Return the changes of the next version's code."""
    entries = tomllib.loads(CHANGES.read_text(encoding="utf-8"))["change"]
    return [Mutation(name="the next version", tests=(), **entry) for entry in entries]


def _add_step(tree: Path, *, app: str, step: str) -> None:
    folder = tree / app / "migrations"
    newest = max(file.stem for file in folder.glob("[0-9]*.py"))
    text = (STEPS / f"{app}_{step}.py").read_text(encoding="utf-8")
    number = int(newest[:4]) + 1
    (folder / f"{number:04}_{step}.py").write_text(text.replace(NEWEST, newest), encoding="utf-8")
