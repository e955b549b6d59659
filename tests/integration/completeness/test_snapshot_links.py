"""The baseline of memberships: the links that are there, each once, also while others come and go."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection

from auditlog import metrics
from auditlog.registry import auditlog
from auditlog.roles import Role
from tests.conftest import ConnectAs, Events, WaitUntil
from tests.integration.completeness import test_snapshot
from tests.integration.completeness.conftest import Project, Run
from tests.samples.models import Author, Book, Comic, Country, Genre, Loan, OrderLine, Reader, Shelf

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]


def memberships(events: list[dict[str, Any]]) -> list[tuple[str, str, list[str], Any]]:
    """Return object, field, targets and through values of the events of links; all of them are of a snapshot."""
    told = [event for event in events if event["op"] == "m"]
    assert {(event["audit"]["action"], event["source"]["snapshot"]) for event in told} <= {("snapshot", "true")}
    audits = [event["audit"] for event in told]
    assert not any(audit["m2m"]["removed"] for audit in audits)
    found = [(a["object_pk"], a["m2m"]["field"], a["m2m"]["added"], a["m2m"]["through"]) for a in audits]
    # Objects of one batch are in no order.
    return sorted(found, key=lambda one: (one[1], int(one[0])))


def test_the_links_of_an_object_are_one_event_after_its_row(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any]
) -> None:
    novel, essay = Genre.objects.create(name="novel"), Genre.objects.create(name="essay")
    one, two = Book.objects.create(title="Emma"), Book.objects.create(title="no links")
    one.genres.add(novel, essay)
    created = next(event for event in events() if event["op"] == "m")
    code, report = run("audit_snapshot", "samples.Book")
    assert (code, report["rows"], report["links"]) == (0, {"samples.book": 2}, {"samples.book": 2})
    first, second, links = events()
    assert [(e["op"], e["audit"]["object_pk"]) for e in (first, second)] == [("r", str(one.pk)), ("r", str(two.pk))]
    assert (links["before"], links["after"], links["source"]["table"]) == (None, None, "samples_book_genres")
    assert links["audit"]["m2m"] == created["audit"]["m2m"] | {"labels": None}
    same = ("model", "object_pk", "schema_version")
    assert [links["audit"][name] for name in same] == [created["audit"][name] for name in same]
    assert links["audit"]["object_repr"] == "Emma"
    last = owner_connection.execute("SELECT topic, key FROM auditlog_outboxevent ORDER BY id DESC LIMIT 1").fetchone()
    assert last == ("audit.samples.book.events", str(one.pk))


def test_links_hold_their_own_fields_and_keys_of_targets_whatever_they_refer_to(events: Events, run: Run) -> None:
    book, reader = Book.objects.create(title="Emma"), Reader.objects.create(card="A%1")
    Loan.objects.create(book=book, reader=reader, since="2026-01-01")
    ann, bob = Author.objects.create(name="ann"), Author.objects.create(name="bob")
    ann.mentors.add(bob, through_defaults={"weeks": 3})
    other = Reader.objects.create(card="B")
    reader.friends.add(other)
    events()
    run("audit_snapshot", "samples.Book", "samples.Author", "samples.Reader")
    assert memberships(events()) == [
        (str(reader.pk), "friends", [str(other.pk)], None),
        (str(other.pk), "friends", [str(reader.pk)], None),
        (str(ann.pk), "mentors", [str(bob.pk)], {str(bob.pk): {"arranged_by_id": None, "weeks": 3}}),
        (str(book.pk), "readers", [str(reader.pk)], {str(reader.pk): {"since": "2026-01-01"}}),
    ]


def test_batches_take_the_links_of_their_own_rows_and_a_run_goes_on(events: Events, run: Run) -> None:
    genre = Genre.objects.create(name="novel")
    books = Book.objects.bulk_create(Book(title=str(number)) for number in range(5))
    genre.books.set(books)
    events()
    _, report = run("audit_snapshot", "samples.Book", "--batch-rows", "2")
    assert report["links"] == {"samples.book": 5}
    told = events()
    assert [key for key, *_ in memberships(told)] == [str(book.pk) for book in books]
    # Links are recorded in the transaction of their rows.
    transactions = {e["audit"]["object_pk"]: e["source"]["txId"] for e in told if e["op"] == "r"}
    assert all(e["source"]["txId"] == transactions[e["audit"]["object_pk"]] for e in told)
    run("audit_snapshot", "samples.Book", "--after", str(books[2].pk))
    assert [key for key, *_ in memberships(events())] == [str(books[3].pk), str(books[4].pk)]


def test_an_object_with_too_many_links_for_an_event_has_several(events: Events, run: Run, project: Project) -> None:
    book = Book.objects.create(title="Emma")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO samples_genre (name) SELECT n::text FROM generate_series(1, 30000) n")
        cursor.execute(
            "INSERT INTO samples_book_genres (book_id, genre_id) SELECT %s, id FROM samples_genre", [book.pk]
        )
    events()
    run("audit_snapshot", "samples.Book")
    told = [targets for _, _, targets, _ in memberships(events())]
    assert len(told) > 1
    keys = [str(key) for key in Genre.objects.values_list("pk", flat=True)]
    assert sorted(target for targets in told for target in targets) == sorted(keys)
    project()
    assert run("audit_bypass", "samples.Book", "--grace", "0")[0] == 0


def test_a_link_that_is_being_removed_is_waited_for_and_not_told(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    book = Book.objects.create(title="Emma")
    book.genres.add(gone := Genre.objects.create(name="gone"), kept := Genre.objects.create(name="kept"))
    events()
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("DELETE FROM samples_book_genres WHERE genre_id = %s", [gone.pk])
        thread, done = test_snapshot.in_thread(lambda: run("audit_snapshot", "samples.Book")[0])
        wait_until(lambda: owner_connection.execute(test_snapshot.WAITING).fetchone())
    thread.join(30)
    assert done == [0]
    assert memberships(events()) == [(str(book.pk), "genres", [str(kept.pk)], None)]


def test_a_link_that_changes_meanwhile_is_told_as_it_has_become(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    book, reader = Book.objects.create(title="Emma"), Reader.objects.create(card="A")
    Loan.objects.create(book=book, reader=reader)
    events()
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("UPDATE samples_loan SET since = '2026-02-02'")
        thread, _ = test_snapshot.in_thread(lambda: run("audit_snapshot", "samples.Book"))
        wait_until(lambda: owner_connection.execute(test_snapshot.WAITING).fetchone())
    thread.join(30)
    (link,) = memberships(events())
    assert link == (str(book.pk), "readers", [str(reader.pk)], {str(reader.pk): {"since": "2026-02-02"}})


def test_fields_whose_memberships_are_no_events_are_left_out(events: Events, run: Run) -> None:
    book = Book.objects.create(title="Emma")
    book.genres.add(Genre.objects.create(name="novel"))
    auditlog.register(Book, exclude_fields=["genres"])
    try:
        events()
        _, report = run("audit_snapshot", "samples.Book")
    finally:
        auditlog.register(
            Book, exclude_fields=["draft"], mask_fields={"secret": "full", "code": "hash"}, m2m_labels=True
        )
    assert (report["links"], memberships(events())) == ({"samples.book": 0}, [])


def test_rows_say_what_they_are_called_as_they_are(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    shelf = Shelf.objects.create(name="old")
    Comic.objects.create(title="Tintin")
    line = OrderLine.objects.create(tenant="a", number=1)
    events()
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("UPDATE samples_shelf SET name = 'new' WHERE id = %s", [shelf.pk])
        labels = ("samples.Shelf", "samples.Comic", "samples.OrderLine")
        thread, _ = test_snapshot.in_thread(lambda: run("audit_snapshot", *labels))
        wait_until(lambda: owner_connection.execute(test_snapshot.WAITING).fetchone())
    thread.join(30)
    assert [event["audit"]["object_repr"] for event in events()] == ["shelf new", "Tintin", str(line)]


def test_a_text_that_cannot_be_had_is_null_and_counted(events: Events, run: Run) -> None:
    Shelf.objects.bulk_create([Shelf(name="raise"), Shelf(name="B")])
    events()
    failures = metrics.REPR_FAILURES.labels(model="samples.shelf")
    before = failures._value.get()
    assert run("audit_snapshot", "samples.Shelf")[0] == 0
    assert [event["audit"]["object_repr"] for event in events()] == [None, "shelf B"]
    assert failures._value.get() == before + 1


def test_without_a_text_by_registration_there_is_none_and_no_instance_is_made(events: Events, run: Run) -> None:
    auditlog.register(Country, object_repr=None)
    try:
        Country.objects.create(code="NL", name="Nederland")
        events()
        statements: list[str] = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            statements.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            run("audit_snapshot", "samples.Country")
    finally:
        auditlog.register(Country)
    assert [event["audit"]["object_repr"] for event in events()] == [None]
    assert not any("FOR NO KEY UPDATE" in statement for statement in statements)


def test_masks_that_python_makes_keep_the_text(events: Events, run: Run) -> None:
    auditlog.register(Country, mask_fields=["name"], mask_callable=lambda text: text[:1])
    try:
        country = Country.objects.create(code="NL", name="Nederland")
        events()
        run("audit_snapshot", "samples.Country")
    finally:
        auditlog.register(Country)
    (event,) = events()
    assert (event["after"]["name"], event["audit"]["object_repr"]) == ("N", str(country))
