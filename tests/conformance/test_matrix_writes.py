"""I1 to I4: saves, set-based writes, deletes and managers, rows 1 to 17 of the matrix."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection
from django.db.models import F

from tests.conformance.conftest import Told, key
from tests.conftest import Events
from tests.samples.models import Book, Country, Genre, OrderLine, Pamphlet, Shelf, Ticket

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


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
