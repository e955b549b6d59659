"""I2, declared: what audit_coverage says of each write path follows what is registered, overridden and installed."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, models

from auditlog.capture.compilers import install
from auditlog.registry import auditlog
from tests.integration.completeness.conftest import Run
from tests.samples.models import Book, Country, Genre, Shelf, Unwatched

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]

SIGNALLED = {"save", "delete", "cascade", "QuerySet.delete", "loaddata"}
SET_BASED = {
    "QuerySet.update",
    "bulk_create",
    "bulk_create(ignore_conflicts)",
    "bulk_create(update_conflicts)",
    "bulk_update",
    "QuerySet._raw_delete",
    "historical models in migrations",
}


def model_of(report: dict[str, Any], label: str) -> dict[str, Any]:
    found: dict[str, Any] = next(model for model in report["models"] if model["model"] == label)
    return found


def states(report: dict[str, Any], label: str) -> dict[str, str]:
    return {path["path"]: path["state"] for path in model_of(report, label)["paths"]}


def reason(report: dict[str, Any], label: str, path: str) -> str:
    (found,) = (p for p in model_of(report, label)["paths"] if p["path"] == path)
    return str(found["reason"])


class Replacing(models.QuerySet[Any]):
    """Replaces what saves go through."""

    def _update(self, values: Any) -> int:
        return len(values)

    def update(self, **kwargs: Any) -> int:
        return super().update(**kwargs)


class Raw(models.QuerySet[Any]):
    """Writes past the ORM."""

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return super().bulk_create(objs, *args, **kwargs)


def test_everything_that_is_registered_is_covered_but_for_raw_sql(run: Run) -> None:
    code, report = run("audit_coverage")
    assert (code, report["holes"]) == (0, [])
    assert {model["model"] for model in report["models"]} == {m._meta.label_lower for m in auditlog.get_models()}
    assert states(report, "samples.shelf") == {
        **dict.fromkeys(SIGNALLED | SET_BASED, "captured"),
        "raw SQL, other programs": "detected",
        "TRUNCATE": "detected",
    }
    assert model_of(report, "samples.shelf")["databases"] == ["default"]


def test_masks_exclusions_and_memberships_are_named(run: Run) -> None:
    _, report = run("audit_coverage")
    book = model_of(report, "samples.book")
    assert (book["masked"], book["excluded"]) == ({"secret": "full", "code": "hash"}, ["draft"])
    found = states(report, "samples.book")
    links = {"genres.add", "genres.remove", "readers.add", "readers.remove", "readers through samples.loan"}
    assert {found[name] for name in links} == {"captured"}
    assert found["readers, raw SQL"] == "detected"


def test_classes_of_columns_are_named_with_those_that_have_none(run: Run) -> None:
    auditlog.register(Country, classify_fields={"name": "public"})
    try:
        _, report = run("audit_coverage")
        out = StringIO()
        call_command("audit_coverage", stdout=out)
    finally:
        auditlog.register(Country)
    country = model_of(report, "samples.country")
    assert (country["classified"], country["unclassified"]) == ({"name": "public"}, ["code"])
    assert "  public columns: name\n  unclassified columns: code\n" in out.getvalue()
    # The example domain says of all its columns what they hold.
    ours = [model for model in report["models"] if model["model"].startswith(("doctors.", "auth."))]
    assert {model["model"]: model["unclassified"] for model in ours if model["unclassified"]} == {}


def test_models_that_are_not_registered_are_listed(run: Run) -> None:
    _, report = run("audit_coverage")
    others = report["unregistered"]
    assert others["samples.unwatched"] == "not registered"
    assert others["samples.loan"] == "its rows are the memberships in samples.book.readers"
    assert others["auditlog.outboxevent"] == "never captured"
    assert "samples.book" not in others
    assert "samples.bookproxy" not in others


def test_the_parent_of_a_registered_child_is_named(run: Run) -> None:
    auditlog.unregister(Book)
    try:
        _, report = run("audit_coverage")
    finally:
        auditlog.register(
            Book, exclude_fields=["draft"], mask_fields={"secret": "full", "code": "hash"}, m2m_labels=True
        )
    assert "the columns that samples.comic has from it" in report["unregistered"]["samples.book"]


def test_refusals_and_exclusions_are_no_holes(run: Run, settings: Any) -> None:
    settings.AUDITLOG_DISABLE_ON_RAW_SAVE = True
    code, report = run("audit_coverage")
    assert code == 0
    guarded = states(report, "samples.guarded")
    assert {guarded[name] for name in SET_BASED} == {"refused"}
    assert {guarded[name] for name in SIGNALLED - {"loaddata"}} == {"captured"}
    assert guarded["loaddata"] == "excluded"
    assert states(report, "samples.comic")["bulk_create"] == "refused"
    assert "parent table" in reason(report, "samples.comic", "bulk_create")


def test_a_many_to_many_field_that_is_left_out_is_excluded(run: Run) -> None:
    auditlog.register(Book, m2m_fields={"genres"})
    try:
        code, report = run("audit_coverage")
    finally:
        auditlog.register(
            Book, exclude_fields=["draft"], mask_fields={"secret": "full", "code": "hash"}, m2m_labels=True
        )
    found = states(report, "samples.book")
    assert (code, found["readers.add"], found["genres.add"]) == (0, "excluded", "captured")


def test_a_hook_that_is_replaced_is_a_hole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf._base_manager, "_queryset_class", Replacing)
    code, report = run("audit_coverage")
    found = states(report, "samples.shelf")
    assert code == 1
    # What calls Django's is no hole, and neither are deletes.
    assert (found["save"], found["loaddata"]) == ("detected", "detected")
    assert (found["QuerySet.update"], found["delete"]) == ("captured", "captured")
    assert "Replacing._update replaces Django's without calling it" in reason(report, "samples.shelf", "save")
    assert report["holes"] == ["samples.shelf: save", "samples.shelf: loaddata"]


def test_a_manager_that_writes_raw_sql_is_a_hole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Genre.objects, "_queryset_class", Raw)
    code, report = run("audit_coverage")
    found = states(report, "samples.genre")
    assert (code, found["bulk_create"], found["save"]) == (1, "detected", "captured")
    assert "found by audit_bypass" in reason(report, "samples.genre", "bulk_create")


def test_a_delete_that_marks_instead_of_deleting_is_no_hole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(self: Shelf) -> None:
        self.name = "deleted"
        self.save()

    monkeypatch.setattr(Shelf, "delete", delete)
    assert run("audit_coverage")[0] == 0


def test_a_save_that_replaces_its_internals_is_a_hole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "_do_update", lambda *_args: True, raising=False)
    code, report = run("audit_coverage")
    assert (code, states(report, "samples.shelf")["save"]) == (1, "detected")


@pytest.fixture
def without_compilers(transactional_db: None) -> Iterator[None]:
    """Let all writes pass by, as a backend does that brings other compilers."""
    operations: Any = connection.ops
    ours = type(operations).compiler_module
    type(operations).compiler_module, operations._cache = "django.db.backends.postgresql.compiler", None
    yield
    type(operations).compiler_module = ours
    install()


@pytest.mark.usefixtures("without_compilers")
def test_without_the_compilers_nothing_is_captured(run: Run) -> None:
    code, report = run("audit_coverage")
    found = states(report, "samples.book")
    assert code == 1
    assert {found[name] for name in SIGNALLED | SET_BASED} == {"detected"}
    assert (found["genres.add"], found["readers.remove"]) == ("detected", "detected")
    assert "found by its receiver" in reason(report, "samples.book", "save")


def test_a_role_that_may_not_execute_the_functions_is_named(
    run: Run, owner_connection: psycopg.Connection[Any]
) -> None:
    (signature,) = owner_connection.execute("SELECT 'auditlog_emit'::regproc::regprocedure::text").fetchone() or ("",)
    owner_connection.execute(f"REVOKE EXECUTE ON FUNCTION {signature} FROM auditlog_app".encode())
    try:
        code, report = run("audit_coverage")
    finally:
        owner_connection.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO auditlog_app".encode())
    assert (code, states(report, "samples.shelf")["save"]) == (1, "not_covered")
    assert "may not execute auditlog_emit: every write fails" in reason(report, "samples.shelf", "save")


def test_a_table_with_rules_is_not_covered(run: Run, owner_connection: psycopg.Connection[Any]) -> None:
    owner_connection.execute("CREATE RULE quiet AS ON UPDATE TO samples_country DO INSTEAD NOTHING")
    try:
        code, report = run("audit_coverage")
    finally:
        owner_connection.execute("DROP RULE quiet ON samples_country")
    assert (code, states(report, Country._meta.label_lower)["save"]) == (1, "not_covered")


def test_a_missing_table_is_not_covered(run: Run, owner_connection: psycopg.Connection[Any]) -> None:
    owner_connection.execute("ALTER TABLE samples_country RENAME TO samples_gone")
    try:
        code, report = run("audit_coverage")
    finally:
        owner_connection.execute("ALTER TABLE samples_gone RENAME TO samples_country")
    assert (code, reason(report, "samples.country", "save")) == (1, "default: the table does not exist")


def test_foreign_keys_that_act_by_themselves_are_a_hole(run: Run, owner_connection: psycopg.Connection[Any]) -> None:
    owner_connection.execute(
        "ALTER TABLE samples_ticket ADD CONSTRAINT acting FOREIGN KEY (parent_id) REFERENCES samples_ticket "
        "ON DELETE CASCADE"
    )
    try:
        code, report = run("audit_coverage")
    finally:
        owner_connection.execute("ALTER TABLE samples_ticket DROP CONSTRAINT acting")
    assert (code, report["holes"]) == (1, ["samples.ticket: foreign keys of the database"])
    assert "acting" in reason(report, "samples.ticket", "foreign keys of the database")


def test_people_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    call_command("audit_coverage", stdout=out)
    text = out.getvalue()
    assert "samples.guarded  (table samples_guarded on default, bulk=raise)" in text
    assert '  refused: bulk_update (bulk="raise")' in text
    assert "  masked columns: secret (full), code (hash)" in text
    assert "  excluded columns: draft" in text
    assert text.endswith("No holes other than raw SQL.\n")
    monkeypatch.setattr(Shelf._base_manager, "_queryset_class", Replacing)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("audit_coverage", stdout=out)
    assert "  HOLE detected: save (" in out.getvalue()
    assert out.getvalue().endswith("2 HOLES: samples.shelf: save; samples.shelf: loaddata\n")


def test_a_model_that_joins_later_is_covered(run: Run) -> None:
    auditlog.register(Unwatched)
    try:
        _, report = run("audit_coverage")
    finally:
        auditlog.unregister(Unwatched)
    assert states(report, "samples.unwatched")["save"] == "captured"
    assert "samples.unwatched" not in report["unregistered"]
