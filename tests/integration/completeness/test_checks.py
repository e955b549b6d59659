"""I2, declared: system checks name the registered model whose writes cannot be covered, and what keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection

from auditlog.checks import check_tables, check_write_paths
from auditlog.registry import auditlog
from tests.integration.completeness.conftest import Run
from tests.integration.completeness.test_coverage import Raw, Replacing
from tests.samples.models import Country, Genre, Loan, Shelf, Unwatched

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]


def problems(messages: list[Any]) -> list[tuple[str, Any]]:
    return [(message.id, message.obj) for message in messages]


@contextmanager
def altered(owner: psycopg.Connection[Any], change: str, back: str) -> Iterator[None]:
    owner.execute(change)
    try:
        yield
    finally:
        owner.execute(back)


def test_the_project_s_own_models_are_covered() -> None:
    assert check_write_paths() == []
    assert check_tables(databases=["default"]) == []


def test_a_hook_that_is_replaced_is_an_error_and_raw_sql_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf._base_manager, "_queryset_class", Replacing)
    monkeypatch.setattr(Genre.objects, "_queryset_class", Raw)
    found = check_write_paths()
    assert problems(found) == [("auditlog.W008", Genre), ("auditlog.E007", Shelf)]
    assert "samples.Genre" in found[0].msg
    assert "Raw.bulk_create writes raw SQL" in found[0].msg
    assert "Replacing._update replaces Django's" in found[1].msg


def test_the_managers_of_through_tables_count_for_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loan.objects, "_queryset_class", Raw)
    (found,) = check_write_paths()
    assert (found.id, found.obj._meta.label) == ("auditlog.W008", "samples.Book")


def test_a_model_on_another_vendor_s_database_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "vendor", "sqlite")
    found = check_write_paths()
    assert {message.id for message in found} == {"auditlog.E005"}
    assert len(found) == len(auditlog.get_models())


@pytest.mark.parametrize(
    ("change", "back", "reason"),
    [
        (
            "CREATE RULE quiet AS ON INSERT TO samples_country DO INSTEAD NOTHING",
            "DROP RULE quiet ON samples_country",
            "rewrite rules",
        ),
        (
            "ALTER TABLE samples_country ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE samples_country DISABLE ROW LEVEL SECURITY",
            "row-level security",
        ),
        (
            "ALTER TABLE samples_country RENAME TO hidden; CREATE VIEW samples_country AS SELECT * FROM hidden",
            "DROP VIEW samples_country; ALTER TABLE hidden RENAME TO samples_country",
            "no table but a view",
        ),
    ],
)
def test_a_table_that_cannot_hand_back_its_rows_is_an_error(
    change: str, back: str, reason: str, owner_connection: psycopg.Connection[Any], run: Run
) -> None:
    with altered(owner_connection, change, back):
        found = [message for message in run_checks(databases=["default"]) if message.id == "auditlog.E006"]
        # Without a database to ask, nothing is asked.
        assert not [message for message in run_checks() if message.id == "auditlog.E006"]
        code, report = run("audit_coverage")
    assert problems(found) == [("auditlog.E006", Country)]
    assert reason in found[0].msg
    assert (code, any(hole.startswith("samples.country") for hole in report["holes"])) == (1, True)


def test_a_table_that_is_not_there_yet_is_no_error_of_the_check(owner_connection: psycopg.Connection[Any]) -> None:
    auditlog.register(Unwatched)
    try:
        with altered(
            owner_connection,
            "ALTER TABLE samples_unwatched RENAME TO samples_gone",
            "ALTER TABLE samples_gone RENAME TO samples_unwatched",
        ):
            assert check_tables(databases=["default"]) == []
    finally:
        auditlog.unregister(Unwatched)


def test_the_command_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Genre.objects, "_queryset_class", Raw)
    err = StringIO()
    call_command("check", databases=["default"], stderr=err)
    assert "samples.Genre: (auditlog.W008) Writes of samples.Genre may pass by the audit" in err.getvalue()
