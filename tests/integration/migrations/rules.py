"""
What a migration may do beside running processes of the version before it; docs/explanation/upgrades.md says why.

Squawk, a linter for PostgreSQL's migrations, reads the SQL of each. What it finds is accepted where `accepted.toml` says
why; what is taken away (a contract step) only once a release is out whose code does not use it any more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ACCEPTED = HERE / "accepted.toml"
SQUAWK = Path(sys.executable).with_name("squawk")
OLDEST_POSTGRES = "15.0"
APPS = ("auditlog", "consumers", "doctors", "publishers")
# What is no matter of upgrades, and what holds for all migrations at once: `audit_migrate` sets lock_timeout, and building
# an index may take its time. A constraint that goes refuses nobody.
NOT_ASKED = {"require-lock-timeout", "require-statement-timeout", "ban-drop-constraint"}
TASTE = "prefer-"
# What takes away something that code of the version before may use.
CONTRACTS = {
    "ban-drop-column",
    "ban-drop-function",
    "ban-drop-table",
    "ban-drop-view",
    "renaming-column",
    "renaming-table",
}
RELEASE = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that is as it must be. `unused_since`: the release whose code stopped using what is taken away."""

    migration: str
    rules: tuple[str, ...]
    reason: str
    unused_since: str = ""


def accepted() -> list[Accepted]:
    """Return what is accepted."""
    entries = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))["accepted"]
    return [Accepted(**{**entry, "rules": tuple(entry["rules"])}) for entry in entries]


def releases() -> set[str]:
    """Return the releases that are out."""
    return set(RELEASE.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))


def too_early(entry: Accepted, *, released: set[str]) -> bool:
    """Tell whether something is taken away that the newest release may still use."""
    return not CONTRACTS.isdisjoint(entry.rules) and entry.unused_since not in released


def found() -> dict[str, set[str]]:
    """Return the rules that each of the service's migrations breaks; none for most."""
    loader = MigrationLoader(connections["default"], replace_migrations=False)
    return {
        f"{app}.{name}": broken_by(loader, migration)
        for (app, name), migration in sorted(loader.disk_migrations.items())
        if app in APPS
    }


def broken_by(loader: MigrationLoader, migration: Migration) -> set[str]:
    """Return the rules that a migration breaks."""
    plan: list[tuple[Migration, bool]] = [(migration, False)]
    return broken_in("\n".join(loader.collect_sql(plan)), atomic=migration.atomic)


def broken_in(sql: str, *, atomic: bool = True) -> set[str]:
    """Return the rules that SQL breaks, in one transaction or without."""
    command = [str(SQUAWK), "--reporter=json", f"--pg-version={OLDEST_POSTGRES}"]
    text = f"BEGIN;\n{sql};\nCOMMIT;" if atomic else sql
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    names = {finding["rule_name"] for finding in json.loads(done.stdout or "[]")}
    return {name for name in names if not name.startswith(TASTE)} - NOT_ASKED
