"""
I1 to I4: the 41 operations that audit libraries are compared by, each with exactly the events that are right for it.

The numbers are those of the comparison; what its rows ask of raw SQL is answered by docs/explanation/limits.md.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core import serializers
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.signals import post_save

from tests.conformance.conftest import Told
from tests.conftest import Events
from tests.integration.capture.test_order import in_threads
from tests.samples.models import (
    Book,
    BookProxy,
    Comic,
    Country,
    Genre,
    Loan,
    OrderLine,
    Pamphlet,
    Reader,
    Shelf,
    Ticket,
)

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def book(events: Events) -> Book:
    """A book that is on record."""
    made = Book.objects.create(title="Emma", quantity=1, price=Decimal("10.00"))
    events()
    return made


@pytest.fixture
def genres(events: Events) -> list[Genre]:
    """Three genres that are on record."""
    made = Genre.objects.bulk_create([Genre(name=name) for name in ("a", "b", "c")])
    events()
    return made


def key(row: Any) -> str:
    """Return the key of a row as events have it."""
    return str(row.pk)


def test_row_01_save_of_an_update(book: Book, events: Events) -> None:
    first = book.updated_at
    book.title = "Emma II"
    book.save()
    (event,) = events()
    assert (event["op"], event["audit"]["object_pk"]) == ("u", key(book))
    assert (event["before"]["title"], event["after"]["title"]) == ("Emma", "Emma II")
    # auto_now too, on both sides.
    assert [datetime.fromisoformat(event[side]["updated_at"]) for side in ("before", "after")] == [
        first,
        book.updated_at,
    ]


def test_row_02_save_that_changes_auto_now_alone(book: Book, events: Events) -> None:
    book.save()
    (event,) = events()
    assert datetime.fromisoformat(event["after"]["updated_at"]) == book.updated_at
    assert event["before"]["updated_at"] < event["after"]["updated_at"]
    assert event["before"] == event["after"] | {"updated_at": event["before"]["updated_at"]}


def test_row_03_update_fields_beside_a_dirty_field(book: Book, told: Told) -> None:
    book.title, book.quantity = "dirty", 5
    book.save(update_fields=["quantity"])
    assert told() == [("update", "book", key(book), {"quantity": (1, 5), "double": (2, 10)})]


def test_row_04_save_over_an_existing_key(book: Book, told: Told) -> None:
    Book(pk=book.pk, title="another").save()
    changes = {"title": ("Emma", "another"), "quantity": (1, 0), "double": (2, 0), "price": ("10.00", None)}
    assert told() == [("update", "book", key(book), changes)]


def test_row_05_save_that_fails_in_autocommit_mode(genres: list[Genre], told: Told) -> None:
    genres[0].name = "b"
    with pytest.raises(IntegrityError):
        genres[0].save()
    assert told() == []


def test_row_06_save_of_an_expression(book: Book, told: Told) -> None:
    book.quantity = F("quantity") + 1
    book.save()
    assert told() == [("update", "book", key(book), {"quantity": (1, 2), "double": (2, 4)})]


def test_row_07_queryset_update(book: Book, told: Told) -> None:
    assert Book.objects.filter(title="Emma").update(title="Emma II", quantity=F("quantity") * 3) == 1
    changes = {"title": ("Emma", "Emma II"), "quantity": (1, 3), "double": (2, 6)}
    assert told() == [("update", "book", key(book), changes)]


def test_row_08_bulk_create(told: Told) -> None:
    countries = [Country(code=code, name=code.lower()) for code in ("CH", "AT")]
    Country.objects.bulk_create(countries)
    assert told() == [
        ("create", "country", "CH", {"code": (None, "CH"), "name": (None, "ch")}),
        ("create", "country", "AT", {"code": (None, "AT"), "name": (None, "at")}),
    ]


def test_row_09_bulk_update(genres: list[Genre], told: Told) -> None:
    a, b, c = genres
    a.name, b.name = "x", "y"
    assert Genre.objects.bulk_update([a, b, c], ["name"]) == 3
    assert sorted(told()) == sorted(
        [("update", "genre", key(a), {"name": ("a", "x")}), ("update", "genre", key(b), {"name": ("b", "y")})]
    )


def test_row_10_bulk_create_that_updates_conflicts(told: Told) -> None:
    OrderLine.objects.create(tenant="t", number=1, amount=1)
    told()
    OrderLine.objects.bulk_create(
        [OrderLine(tenant="t", number=number, amount=9) for number in (1, 2)],
        update_conflicts=True,
        unique_fields=["tenant", "number"],
        update_fields=["amount"],
    )
    assert told() == [
        ("update", "orderline", '["t",1]', {"amount": (1, 9)}),
        ("create", "orderline", '["t",2]', {"tenant": (None, "t"), "number": (None, 2), "amount": (None, 9)}),
    ]


def test_row_11_queryset_delete(genres: list[Genre], told: Told) -> None:
    Genre.objects.filter(name__in="ab").delete()
    gone = [("delete", "genre", key(g), {"id": (g.pk, None), "name": (g.name, None)}) for g in genres[:2]]
    assert sorted(told(), key=str) == sorted(gone, key=str)


def test_row_12_raw_delete_is_told_and_raw_sql_is_not(genres: list[Genre], told: Told) -> None:
    assert Genre.objects.filter(name="a")._raw_delete("default") == 1
    assert told() == [("delete", "genre", key(genres[0]), {"id": (genres[0].pk, None), "name": ("a", None)})]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE samples_genre SET name = 'raw' WHERE name = 'b'")
        cursor.execute("DELETE FROM samples_genre WHERE name = 'c'")
    assert list(Genre.objects.values_list("name", flat=True)) == ["raw"]
    assert told() == []


def test_row_13_truncate_is_not_told(
    genres: list[Genre], told: Told, owner_connection: psycopg.Connection[Any]
) -> None:
    with connection.cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute("TRUNCATE samples_genre CASCADE")
    owner_connection.execute("TRUNCATE samples_genre CASCADE")
    assert not Genre.objects.exists()
    assert told() == []


def test_row_14_cascade_to_children(told: Told) -> None:
    parent = Ticket.objects.create(title="parent")
    child = Ticket.objects.create(title="child", parent=parent)
    grandchild = Ticket.objects.create(title="grandchild", parent=child)
    keys = [key(ticket) for ticket in (parent, child, grandchild)]
    told()
    parent.delete()
    deleted = told()
    assert sorted(pk for action, model, pk, _ in deleted if (action, model) == ("delete", "ticket")) == sorted(keys)
    assert {change["parent_id"] for *_, change in deleted if "parent_id" in change} == {
        (keys[0], None),
        (keys[1], None),
    }
    assert len(deleted) == 3


def test_row_15_reference_that_a_delete_nulls(book: Book, told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    Book.objects.update(shelf=shelf)
    told()
    number = shelf.pk
    shelf.delete()
    assert told() == [
        ("update", "book", key(book), {"shelf_id": (number, None)}),
        ("delete", "shelf", str(number), {"id": (number, None), "name": ("A", None)}),
    ]


def test_row_16_reverse_foreign_key_manager(book: Book, told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    told()
    for bulk in (True, False):
        shelf.books.add(book, bulk=bulk)
        shelf.books.clear(bulk=bulk)
        shelf.books.set([book], bulk=bulk)
        shelf.books.set([], bulk=bulk)
        book.refresh_from_db()
    come, go = {"shelf_id": (None, shelf.pk)}, {"shelf_id": (shelf.pk, None)}
    assert told() == [("update", "book", key(book), change) for change in (come, go) * 4]


def test_row_17_generic_relation_manager(told: Told) -> None:
    one, two = Pamphlet.objects.bulk_create([Pamphlet(title="one"), Pamphlet(title="two")])
    remark = one.remarks.create(text="x")
    told()
    two.remarks.add(remark)
    one.remarks.add(remark, bulk=False)
    two.remarks.set([remark])
    moves = [(one.pk, two.pk), (two.pk, one.pk), (one.pk, two.pk)]
    assert told() == [("update", "remark", key(remark), {"object_id": move}) for move in moves]
    gone = key(remark)
    two.remarks.remove(remark)
    assert [event[:3] for event in told()] == [("delete", "remark", gone)]


def test_row_18_m2m_add_forward(book: Book, genres: list[Genre], told: Told) -> None:
    book.genres.add(genres[0], genres[1])
    assert told() == [("m2m.add", "book", key(book), ("genres", [key(genres[0]), key(genres[1])], []))]


def test_row_19_m2m_add_from_the_reverse_side(book: Book, genres: list[Genre], told: Told) -> None:
    genres[0].books.add(book)
    assert told() == [("m2m.add", "book", key(book), ("genres", [key(genres[0])], []))]


def test_row_20_m2m_remove_of_what_is_no_member(book: Book, genres: list[Genre], told: Told) -> None:
    book.genres.remove(genres[0])
    genres[0].books.remove(book)
    assert told() == []


def test_row_21_m2m_clear_of_one_of_three(book: Book, genres: list[Genre], told: Told) -> None:
    book.genres.add(genres[1])
    told()
    book.genres.clear()
    assert told() == [("m2m.remove", "book", key(book), ("genres", [], [key(genres[1])]))]
    book.genres.clear()
    assert told() == []


def test_row_22_m2m_add_of_a_member(book: Book, genres: list[Genre], told: Told) -> None:
    book.genres.add(genres[0])
    told()
    book.genres.add(genres[0])
    genres[0].books.add(book)
    assert told() == []


def test_row_23_m2m_links_that_go_with_an_end(book: Book, genres: list[Genre], told: Told) -> None:
    book.genres.add(*genres[:2])
    told()
    gone = genres[0].pk
    genres[0].delete()
    assert told() == [
        ("m2m.remove", "book", key(book), ("genres", [], [str(gone)])),
        ("delete", "genre", str(gone), {"id": (gone, None), "name": ("a", None)}),
    ]


def test_row_24_m2m_through_model_with_fields(book: Book, events: Events) -> None:
    reader = Reader.objects.create(card="A-1")
    events()
    book.readers.add(reader, through_defaults={"since": date(2026, 1, 1)})
    Loan.objects.create(book=book, reader=reader, since=date(2026, 2, 2))
    found = [event["audit"] for event in events()]
    assert [(audit["action"], audit["model"], audit["object_pk"]) for audit in found] == [
        ("m2m.add", "samples.book", key(book)),
    ] * 2
    since = [audit["m2m"]["through"] for audit in found]
    assert since == [{key(reader): {"since": day}} for day in ("2026-01-01", "2026-02-02")]


def test_row_25_two_identical_m2m_adds_at_once(book: Book, genres: list[Genre], told: Told) -> None:
    def add(number: int) -> None:
        if number:
            book.genres.add(genres[0])
        else:
            genres[0].books.add(book)

    in_threads(2, add)
    assert told() == [("m2m.add", "book", key(book), ("genres", [key(genres[0])], []))]
    assert book.genres.count() == 1


def test_row_26_save_and_delete_through_a_proxy(book: Book, told: Told) -> None:
    proxy = BookProxy.objects.get()
    proxy.title = "proxy"
    proxy.save()
    assert told() == [("update", "book", key(book), {"title": ("Emma", "proxy")})]
    proxy.delete()
    assert [event[:3] for event in told()] == [("delete", "book", key(book))]


def test_row_27_inheritance_over_two_tables(told: Told) -> None:
    comic = Comic.objects.create(title="Tintin")
    told()
    comic.title = "Asterix"
    comic.save()
    comic.colour = True
    comic.save(update_fields=["colour"])
    assert told() == [
        ("update", "book", key(comic), {"title": ("Tintin", "Asterix")}),
        ("update", "comic", key(comic), {"colour": (False, True)}),
    ]


def test_row_28_generated_field(book: Book, events: Events) -> None:
    book.quantity = 21
    book.save()
    (event,) = events()
    assert (event["before"]["double"], event["after"]["double"]) == (2, 42)


def test_row_29_deferred_instance_that_is_deleted(book: Book, events: Events) -> None:
    Book.objects.only("pk").get().delete()
    (event,) = events()
    assert (event["op"], event["audit"]["object_pk"], event["after"]) == ("d", key(book), None)
    assert (event["before"]["title"], event["before"]["price"], event["before"]["double"]) == ("Emma", "10.00", 2)


def test_row_30_upload_of_a_file(book: Book, told: Told) -> None:
    book.cover.save("row 30.txt", ContentFile(b"x"))
    assert told() == [("update", "book", key(book), {"cover": ("", book.cover.name)})]
    assert str(book.cover.name).startswith("covers/row_30")


def test_row_31_value_that_the_database_writes_otherwise(book: Book, told: Told) -> None:
    book.price = "10"
    book.save()
    assert told() == [("update", "book", key(book), {})]  # updated_at alone


def test_row_32_stale_instance_that_puts_a_value_back(book: Book, told: Told) -> None:
    Book.objects.update(title="by another writer")
    told()
    book.quantity = 2
    book.save()
    changes = {"title": ("by another writer", "Emma"), "quantity": (1, 2), "double": (2, 4)}
    assert told() == [("update", "book", key(book), changes)]


def test_row_33_save_rolled_back_and_saved_again(book: Book, told: Told) -> None:
    book.title = "Emma II"
    with transaction.atomic():
        book.save()
        transaction.set_rollback(True)
    assert told() == []
    book.save()
    assert told() == [("update", "book", key(book), {"title": ("Emma", "Emma II")})]


def test_row_34_json_that_is_changed_in_place(told: Told) -> None:
    note = {"tags": ["a"]}
    book = Book.objects.create(title="Emma", note=note)
    told()
    note["tags"].append("b")
    book.save()
    assert told() == [("update", "book", key(book), {"note": ({"tags": ["a"]}, {"tags": ["a", "b"]})})]


def test_row_35_natural_key_that_is_changed_and_saved(told: Told) -> None:
    country = Country.objects.create(code="CH", name="Suisse")
    told()
    country.code = "FR"
    country.save()
    assert told() == [("create", "country", "FR", {"code": (None, "FR"), "name": (None, "Suisse")})]
    assert Country.objects.count() == 2


def test_row_36_loaddata_over_existing_rows(genres: list[Genre], told: Told, tmp_path: Path) -> None:
    rows = json.loads(serializers.serialize("json", genres))
    rows[0]["fields"]["name"] = "x"
    fixture = tmp_path / "genres.json"
    fixture.write_text(json.dumps(rows), encoding="utf-8")
    call_command("loaddata", str(fixture), verbosity=0)
    assert told() == [("update", "genre", key(genres[0]), {"name": ("a", "x")})]


def test_row_37_delete_through_a_stale_instance(book: Book, events: Events) -> None:
    Book.objects.update(quantity=99)
    events()
    book.delete()
    (event,) = events()
    assert (event["before"]["quantity"], event["before"]["double"]) == (99, 198)


def test_row_38_two_writers_that_overwrite_each_other(book: Book, told: Told) -> None:
    mine, theirs = Book.objects.get(), Book.objects.get()
    theirs.quantity = 7

    def overwrite(_number: int) -> None:
        theirs.save()

    with transaction.atomic():
        in_threads(1, overwrite)  # commits between our read and our write
        mine.quantity = 5
        mine.save()
    assert told() == [
        ("update", "book", key(book), {"quantity": (1, 7), "double": (2, 14)}),
        ("update", "book", key(book), {"quantity": (7, 5), "double": (14, 10)}),
    ]


def test_row_39_no_write_where_the_outbox_is_not_available(
    book: Book, told: Told, owner_connection: psycopg.Connection[Any]
) -> None:
    owner_connection.execute("ALTER TABLE auditlog_outboxevent RENAME TO auditlog_outboxevent_away")
    try:
        book.title = "lost"
        for write in (book.save, book.delete, lambda: Genre.objects.create(name="lost")):
            with pytest.raises(DatabaseError):
                write()
    finally:
        owner_connection.execute("ALTER TABLE auditlog_outboxevent_away RENAME TO auditlog_outboxevent")
    assert (Book.objects.get().title, Genre.objects.count()) == ("Emma", 0)
    assert told() == []


def test_row_40_foreign_receiver_that_raises_first(told: Told) -> None:
    def fail(**_kwargs: Any) -> None:
        raise RuntimeError

    post_save.connect(fail, sender=Genre)
    post_save.receivers.insert(0, post_save.receivers.pop())
    try:
        with pytest.raises(RuntimeError):
            Genre.objects.create(name="novel")
    finally:
        post_save.disconnect(fail, sender=Genre)
    genre = Genre.objects.get()
    assert told() == [("create", "genre", key(genre), {"id": (None, genre.pk), "name": (None, "novel")})]


def test_row_41_commit_hook_that_raises(told: Told) -> None:
    def fail() -> None:
        raise RuntimeError

    def write() -> None:
        with transaction.atomic():
            transaction.on_commit(fail)
            Country.objects.create(code="CH", name="Suisse")

    with pytest.raises(RuntimeError):
        write()
    assert told() == [("create", "country", "CH", {"code": (None, "CH"), "name": (None, "Suisse")})]
