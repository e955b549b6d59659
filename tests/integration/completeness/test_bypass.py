"""I2: what is written past the ORM is found by comparing the rows with the audit log, and nothing else is."""

from __future__ import annotations

import os
import signal
import uuid
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from auditlog.completeness import images
from auditlog.completeness.tables import Table
from auditlog.events import record
from auditlog.registry import auditlog
from auditlog.roles import Role
from tests.conftest import ConnectAs
from tests.integration.completeness.conftest import NOW, Project, Run, Writing, raw
from tests.samples.models import Awkward, Book, Comic, Country, Genre, Measured, OrderLine, Shelf, Ticket

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]


def found(report: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(one["key"], one["kind"], one["columns"]) for one in report["found"]]


def test_rows_that_agree_are_no_findings(run: Run, project: Project) -> None:
    shelf = Shelf.objects.create(name="a")
    book = Book.objects.create(title="Emma", price="1.50", note={"a": [1, 1.5]}, secret="s", code="c", shelf=shelf)
    book.quantity = 4
    book.save()
    book.genres.add(Genre.objects.create(name="novel"))
    Comic.objects.create(title="Asterix")
    OrderLine.objects.create(tenant="acme", number=1)
    Ticket.objects.create()
    Awkward.objects.create(old=1)
    gone = Country.objects.create(code="XX", name="")
    gone.delete()
    record(shelf, action="moved")
    project()
    code, report = run("audit_bypass", *NOW)
    assert (code, report["found"], report["pending"], report["complete"]) == (0, [], [], True)
    assert report["outbox_read"] is True
    # Two rows of the table, and two objects in the log.
    assert report["checked"]["samples.book"] == 4


def test_every_type_of_value_comes_back_as_it_was(run: Run, project: Project) -> None:
    raw("SET TimeZone = 'Pacific/Auckland'")
    Measured.objects.create(
        amount="1234567890.1234567890",
        ratio=0.1,
        blob=b"\x00\x01\xff",
        amounts=["1.100", None],
        extra={"big": 12345678901234567890, "float": 1e300, "text": "ä\u2028"},
        address="2001:db8::1",
        token=uuid.UUID(int=7),
    )
    raw("INSERT INTO samples_measured (ratio) VALUES ('NaN')")
    run("audit_snapshot", "samples.Measured")
    project()
    raw("SET TimeZone = 'UTC'")
    assert run("audit_bypass", "samples.Measured", *NOW)[0] == 0


def test_changed_rows_are_named_with_their_columns(run: Run, project: Project) -> None:
    one = Book.objects.create(title="Emma", quantity=1, code="c", secret="s")
    Book.objects.create(title="other")
    project()
    raw("UPDATE samples_book SET quantity = 7, code = 'd', draft = 'not tracked' WHERE id = %s", one.pk)
    code, report = run("audit_bypass", "samples.Book", *NOW)
    assert code == 1
    assert report["found"] == [
        {
            "model": "samples.book",
            "table": "samples_book",
            "key": str(one.pk),
            "kind": "changed",
            "columns": ["quantity", "code", "double"],
        }
    ]


def test_inserted_deleted_and_never_audited_rows_are_told_apart(run: Run, project: Project) -> None:
    gone, back = Country.objects.create(code="AA", name=""), Country.objects.create(code="BB", name="")
    back.delete()
    project()
    raw("DELETE FROM samples_country WHERE code = %s", gone.pk)
    raw("INSERT INTO samples_country (code, name) VALUES ('BB', ''), ('CC', '')")
    code, report = run("audit_bypass", "samples.Country", *NOW)
    assert code == 1
    assert found(report) == [("BB", "inserted", []), ("CC", "no_event", []), ("AA", "deleted", [])]


def test_composite_keys_are_compared_too(run: Run, project: Project) -> None:
    OrderLine.objects.bulk_create(OrderLine(tenant=t, number=n) for t in ("a", 'b"') for n in (1, 2, 3))
    project()
    raw("UPDATE samples_orderline SET amount = 9 WHERE number = 2")
    raw("DELETE FROM samples_orderline WHERE number = 3")
    _, report = run("audit_bypass", "samples.OrderLine", "--batch-rows", "2", *NOW)
    assert found(report)[:2] == [('["a",2]', "changed", ["amount"]), ('["b\\"",2]', "changed", ["amount"])]
    assert sorted(found(report)[2:]) == [('["a",3]', "deleted", []), ('["b\\"",3]', "deleted", [])]


def test_truncation_is_found(run: Run, project: Project, owner_connection: psycopg.Connection[Any]) -> None:
    shelf = Shelf.objects.create(name="a")
    project()
    owner_connection.execute("TRUNCATE samples_shelf CASCADE")
    assert found(run("audit_bypass", "samples.Shelf", *NOW)[1]) == [(str(shelf.pk), "deleted", [])]


def test_i9_a_full_mask_shows_no_change_but_one_from_or_to_null(run: Run, project: Project) -> None:
    one, two = Book.objects.create(title="1", secret="a"), Book.objects.create(title="2", secret="b")
    project()
    raw("UPDATE samples_book SET secret = 'other' WHERE id = %s", one.pk)
    raw("UPDATE samples_book SET secret = NULL WHERE id = %s", two.pk)
    assert found(run("audit_bypass", "samples.Book", *NOW)[1]) == [(str(two.pk), "changed", ["secret"])]


def test_masks_that_python_makes_are_not_compared(run: Run, project: Project) -> None:
    auditlog.register(Country, mask_fields=["name"], mask_callable=lambda text: text[:1] + "…")
    try:
        Country.objects.create(code="NL", name="Nederland")
        project()
        assert run("audit_bypass", "samples.Country", *NOW)[0] == 0
    finally:
        auditlog.register(Country)


def test_an_event_of_another_registration_is_compared_where_it_can_be(run: Run, project: Project) -> None:
    country = Country.objects.create(code="NL", name="Nederland")
    project()
    auditlog.register(Country, mask_fields=["name"])
    try:
        assert run("audit_bypass", "samples.Country", *NOW)[0] == 0
        auditlog.register(Country, exclude_fields=["name"])
        assert run("audit_bypass", "samples.Country", *NOW)[0] == 0
    finally:
        auditlog.register(Country)
    raw("UPDATE samples_country SET name = 'x' WHERE code = %s", country.pk)
    assert found(run("audit_bypass", "samples.Country", *NOW)[1]) == [("NL", "changed", ["name"])]


def test_a_row_whose_event_waits_in_the_outbox_is_pending(run: Run, project: Project) -> None:
    shelf = Shelf.objects.create(name="a")
    code, report = run("audit_bypass", "samples.Shelf", *NOW)
    assert (code, report["found"]) == (1, [])
    assert [(one["key"], one["kind"]) for one in report["pending"]] == [(str(shelf.pk), "no_event")]
    project()
    assert run("audit_bypass", "samples.Shelf", *NOW)[0] == 0


def test_events_on_their_way_are_given_time(run: Run, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf.objects.create(name="a")
    project()
    shelf.name = "b"
    shelf.save()
    looks: list[list[str]] = []
    original = images.rows_of

    def arrive_at_the_second_look(table: Table, keys: Any) -> Any:
        looks.append(list(keys))
        if len(looks) == 3:
            project()
        return original(table, keys)

    monkeypatch.setattr(images, "rows_of", arrive_at_the_second_look)
    code, report = run("audit_bypass", "samples.Shelf", "--grace", "60")
    assert (code, report["found"], report["pending"]) == (0, [], [])
    assert len(looks) == 3


def test_a_sample_looks_at_so_many_rows(run: Run, project: Project) -> None:
    Shelf.objects.bulk_create(Shelf(name=str(number)) for number in range(6))
    project()
    raw("UPDATE samples_shelf SET name = 'x'")
    code, report = run("audit_bypass", "samples.Shelf", "--sample", "2", "--batch-rows", "1", *NOW)
    assert (code, len(report["found"])) == (1, 2)
    # Two rows, and two objects of the log.
    assert report["checked"] == {"samples.shelf": 4}
    raw("DELETE FROM samples_shelf")
    assert {one["kind"] for one in run("audit_bypass", "samples.Shelf", "--sample", "9", *NOW)[1]["found"]} == {
        "deleted"
    }


def test_it_goes_on_after_a_place(run: Run, project: Project) -> None:
    Country.objects.bulk_create(Country(code=code, name="") for code in "ABCD")
    project()
    raw("UPDATE samples_country SET name = 'x' WHERE code <= 'C'")
    raw("DELETE FROM samples_country WHERE code = 'D'")
    _, report = run("audit_bypass", "samples.Country", "--after", "rows:A", *NOW)
    assert [key for key, *_ in found(report)] == ["B", "C", "D"]
    _, report = run("audit_bypass", "samples.Country", "--after", "log", *NOW)
    assert [key for key, *_ in found(report)] == ["D"]
    _, report = run("audit_bypass", "samples.Country", "--after", "log:D", *NOW)
    assert (found(report), report["checked"]) == ([], {"samples.country": 3})


def test_a_signal_ends_it_after_the_batch_and_it_says_how_to_go_on(
    run: Run, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    Country.objects.bulk_create(Country(code=code, name="") for code in "ABCD")
    project()
    raw("UPDATE samples_country SET name = 'x' WHERE code = 'A'")
    original = images.rows_after

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(images, "rows_after", interrupted)
    code, report = run("audit_bypass", "samples.Country", "samples.Shelf", "--batch-rows", "2")
    assert (code, report["complete"]) == (1, False)
    assert report["resume"] == "manage.py audit_bypass samples.Country samples.Shelf --after rows:B"
    # There was no time to see whether its event arrives.
    assert [one["key"] for one in report["pending"]] == ["A"]


def test_a_busy_row_is_no_finding(run: Run, project: Project, writing: Writing) -> None:
    shelf = Shelf.objects.create(name="0")
    project()

    def write(number: int) -> None:
        shelf.name = str(number)
        shelf.save()
        project()

    with writing(write):
        reports = [run("audit_bypass", "samples.Shelf", "--grace", "20") for _ in range(5)]
    assert {code for code, _ in reports} == {0}


def test_without_a_right_on_the_outbox_it_says_so(run: Run, project: Project, connect_as: ConnectAs) -> None:
    owner = connect_as(Role.OWNER)
    owner.execute("REVOKE SELECT ON auditlog_outboxevent FROM auditlog_reader")
    try:
        Shelf.objects.create(name="a")
        code, report = run("audit_bypass", "samples.Shelf", *NOW)
    finally:
        owner.execute("GRANT SELECT ON auditlog_outboxevent TO auditlog_reader")
    assert (code, report["outbox_read"], len(report["found"])) == (1, False, 1)


def test_people_read_the_same(project: Project) -> None:
    shelf = Shelf.objects.create(name="a")
    project()
    out = StringIO()
    call_command("audit_bypass", "samples.Shelf", *NOW, stdout=out)
    assert out.getvalue() == "samples.shelf: 2 rows and objects compared\nEverything agrees.\n"
    raw("UPDATE samples_shelf SET name = 'b'")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("audit_bypass", "samples.Shelf", *NOW, stdout=out)
    assert f"DIFFERENT: samples_shelf {shelf.pk} changed: name\nDifferences: 1." in out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["samples.Shelf", "--after", "17"], "no place"),
        (["samples.Shelf", "--after", "rows:1", "--sample", "3"], "sample has no place"),
        (["samples.OrderLine", "--after", "rows:x"], "JSON array"),
        (["samples.Unwatched"], "not registered"),
    ],
)
def test_what_cannot_be_done_is_said(transactional_db: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("audit_bypass", *arguments)
