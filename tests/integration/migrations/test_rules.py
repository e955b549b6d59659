"""No migration locks out or breaks the version before it, unless it says why it may."""

from __future__ import annotations

import pytest
from django.db import connections, migrations, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from tests.integration.migrations.rules import Accepted, accepted, broken_by, broken_in, found, releases, too_early

pytestmark = pytest.mark.django_db


class Next(Migration):
    """A migration after the newest of the domain."""

    operations = [
        # Django gives the old rows the default, and takes it from the table again: old code cannot insert any more.
        migrations.AddField("doctor", "pager", models.CharField(max_length=9, default="")),
    ]


class WithDefault(Next):
    """The same as an expand step."""

    operations = [migrations.AddField("doctor", "pager", models.CharField(max_length=9, db_default=""))]


def test_every_migration_keeps_the_rules_or_says_why_not() -> None:
    broken = {name: rules for name, rules in found().items() if rules}
    # Also nothing is accepted that is not there any more.
    assert broken == {entry.migration: set(entry.rules) for entry in accepted()}


def test_nothing_is_taken_away_before_a_release_stopped_using_it() -> None:
    assert [entry.migration for entry in accepted() if too_early(entry, released=releases())] == []
    gone = Accepted("doctors.0099_gone", ("ban-drop-column",), "not used any more", unused_since="1.4.0")
    assert too_early(gone, released={"1.3.0"})
    assert not too_early(gone, released={"1.3.0", "1.4.0"})
    assert too_early(Accepted("doctors.0099_gone", ("ban-drop-column",), "no release named"), released={"1.3.0"})


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("CREATE INDEX i ON doctors_doctor (bio)", "require-concurrent-index-creation"),
        ("DROP INDEX i", "require-concurrent-index-deletion"),
        ("ALTER TABLE doctors_doctor ADD COLUMN pager text NOT NULL", "adding-required-field"),
        ("ALTER TABLE doctors_doctor ALTER COLUMN bio SET NOT NULL", "adding-not-nullable-field"),
        ("ALTER TABLE doctors_doctor ALTER COLUMN id TYPE bigint", "changing-column-type"),
        ("ALTER TABLE doctors_doctor ADD CONSTRAINT c CHECK (bio <> '')", "constraint-missing-not-valid"),
        ("ALTER TABLE doctors_doctor DROP COLUMN bio", "ban-drop-column"),
        ("ALTER TABLE doctors_doctor RENAME COLUMN bio TO words", "renaming-column"),
        ("ALTER TABLE doctors_doctor RENAME TO clinician", "renaming-table"),
        ("DROP TABLE doctors_doctor", "ban-drop-table"),
        ("DROP FUNCTION auditlog_append", "ban-drop-function"),
    ],
)
def test_what_locks_or_breaks_is_found(statement: str, rule: str) -> None:
    assert rule in broken_in(statement)


@pytest.mark.parametrize(("kind", "rules"), [(Next, {"ban-drop-default"}), (WithDefault, set())])
def test_a_column_that_only_new_code_fills_is_found_and_one_that_the_database_fills_is_not(
    kind: type[Migration], rules: set[str]
) -> None:
    loader = MigrationLoader(connections["default"], replace_migrations=False)
    newest = ("doctors", max(name for app, name in loader.disk_migrations if app == "doctors"))
    migration = kind("next", "doctors")
    loader.graph.add_node(("doctors", "next"), migration)
    loader.graph.add_dependency(migration, ("doctors", "next"), newest)
    assert broken_by(loader, migration) == rules


def test_an_index_that_is_built_beside_writers_is_no_finding_outside_of_a_transaction() -> None:
    statement = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON doctors_doctor (bio)"
    assert broken_in(statement, atomic=False) == set()
    assert broken_in(statement, atomic=True) == {"ban-concurrent-index-creation-in-transaction"}
