"""I3: the images are what the database held, also where one call writes many rows."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import transaction
from django.db.models import Case, F, Value, When

from auditlog.errors import UncapturedWrite
from tests.conftest import Events
from tests.integration.capture.conftest import Told
from tests.samples.models import Book, Country, Genre, Guarded, Shelf, Ticket

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

BOOK = "samples.book"


def by_key(event: tuple[Any, ...]) -> int:
    """Sort events of one statement, which the database writes in any order."""
    return int(event[2])


def test_i3_set_based_writes_tell_each_row(told: Told) -> None:
    shelves = Shelf.objects.bulk_create([Shelf(name="A"), Shelf(name="B")])
    books = Book.objects.bulk_create([Book(title=title, quantity=n) for n, title in enumerate(("x", "y", "z"))])
    assert [(model, action) for model, action, *_ in told()] == [("samples.shelf", "create")] * 2 + [
        (BOOK, "create")
    ] * 3
    x, y, z = (str(book.pk) for book in books)
    assert Book.objects.filter(quantity__lt=2).update(quantity=F("quantity") + 2, shelf=shelves[0]) == 2
    assert sorted(told(), key=by_key) == [
        (BOOK, "update", x, {"quantity": (0, 2), "double": (0, 4), "shelf_id": (None, shelves[0].pk)}),
        (BOOK, "update", y, {"quantity": (1, 3), "double": (2, 6), "shelf_id": (None, shelves[0].pk)}),
    ]
    # The condition speaks of another table, and the rows leave it.
    assert (
        Book.objects.filter(shelf__name="A").update(
            shelf=None, title=Case(When(pk=int(x), then=Value("w")), default=F("title"))
        )
        == 2
    )
    assert sorted(told(), key=by_key) == [
        (BOOK, "update", x, {"title": ("x", "w"), "shelf_id": (shelves[0].pk, None)}),
        (BOOK, "update", y, {"shelf_id": (shelves[0].pk, None)}),
    ]
    for book in books:
        book.title = book.title.upper()
    assert Book.objects.bulk_update(books, ["title"]) == 3
    assert [(key, changes["title"]) for _, _, key, changes in sorted(told(), key=by_key)] == [
        (x, ("w", "X")),
        (y, ("y", "Y")),
        (z, ("z", "Z")),
    ]
    assert Book.objects.filter(title__in=["X", "Y"]).delete() == (2, {"samples.Book": 2})
    assert [(action, key) for _, action, key, _ in sorted(told(), key=by_key)] == [("delete", x), ("delete", y)]
    assert Book.objects.filter(pk=z)._raw_delete("default") == 1
    assert [(action, key) for _, action, key, _ in told()] == [("delete", z)]


def test_i3_conflicts_that_are_ignored_leave_no_event(told: Told) -> None:
    Genre.objects.create(name="novel")
    told()
    Genre.objects.bulk_create([Genre(name="novel"), Genre(name="essay")], ignore_conflicts=True)
    assert [(action, changes["name"]) for _, action, _, changes in told()] == [("create", (None, "essay"))]


def test_i3_conflicts_that_update_tell_what_the_row_was(told: Told) -> None:
    held = Country.objects.bulk_create([Country(code="CH", name="Suisse"), Country(code="AT", name="Austria")])
    told()
    rows = [Country(code="CH", name="Schweiz"), Country(code="FR", name="France"), Country(code="AT", name="Austria")]
    Country.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["name"])
    assert told() == [
        ("samples.country", "update", "CH", {"name": ("Suisse", "Schweiz")}),
        ("samples.country", "create", "FR", {"code": (None, "FR"), "name": (None, "France")}),
    ]
    with transaction.atomic():
        held[0].delete()
        Country.objects.bulk_create(
            [Country(code="CH", name="Svizzera")], update_conflicts=True, unique_fields=["code"], update_fields=["name"]
        )
    assert [(action, key) for _, action, key, _ in told()] == [("delete", "CH"), ("create", "CH")]


def test_i3_conflicts_that_update_masked_and_typed_columns(events: Events) -> None:
    book = Book.objects.create(title='o"ne, (1)', price=Decimal("1.5"), note={"a": "\\"}, secret="plain", code=None)
    events()
    twin = Book(pk=book.pk, title="two", secret="another", code="c", updated_at=book.updated_at)
    fields = ["title", "secret", "code"]
    Book.objects.bulk_create([twin], update_conflicts=True, unique_fields=["id"], update_fields=fields)
    Book.objects.bulk_create([twin], update_conflicts=True, unique_fields=["id"], update_fields=fields)
    (event,) = events()
    before = event["before"]
    assert (before["title"], before["price"], before["note"]) == ('o"ne, (1)', "1.50", {"a": "\\"})
    assert (before["secret"], event["after"]["secret"], before["code"]) == ("***", "***", None)
    assert event["audit"]["masked_changed"] == ["secret", "code"]


def test_i2_what_cannot_be_captured_is_refused_before_it_runs() -> None:
    guarded = Guarded.objects.create(value=1)
    with pytest.raises(UncapturedWrite, match=r"samples\.guarded"):
        Guarded.objects.update(value=2)
    with pytest.raises(UncapturedWrite):
        Guarded.objects.bulk_create([Guarded(value=3)])
    assert list(Guarded.objects.values_list("value", flat=True)) == [1]
    guarded.value = 4
    guarded.save()
    guarded.delete()


def test_i3_cascades_and_nulled_references_are_told(told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    book = Book.objects.create(title="Emma", shelf=shelf)
    parent = Ticket.objects.create(title="p")
    children = Ticket.objects.bulk_create([Ticket(parent=parent, title=str(n)) for n in range(250)])
    keys = {str(ticket.pk) for ticket in (parent, *children)}
    told()
    shelf_key = str(shelf.pk)
    shelf.delete()
    nulled, gone = told()
    assert nulled == (BOOK, "update", str(book.pk), {"shelf_id": (int(shelf_key), None)})
    assert gone[:3] == ("samples.shelf", "delete", shelf_key)
    parent.delete()
    deleted = told()
    assert {action for _, action, *_ in deleted} == {"delete"}
    assert {key for _, _, key, _ in deleted} == keys
    assert len(deleted) == 251


def test_reverse_managers_tell_the_rows_that_they_move(told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    one, two = Book.objects.bulk_create([Book(title="one"), Book(title="two")])
    told()
    shelf.books.add(one, two)
    shelf.books.remove(one)
    shelf.books.set([one])
    shelf.books.clear()
    moves = [(key, changes["shelf_id"]) for _, _, key, changes in told()]
    a, b = str(one.pk), str(two.pk)
    assert sorted(moves[:2]) == sorted([(a, (None, shelf.pk)), (b, (None, shelf.pk))])
    assert moves[2] == (a, (shelf.pk, None))
    assert sorted(moves[3:5], key=str) == sorted([(b, (shelf.pk, None)), (a, (None, shelf.pk))], key=str)
    assert moves[5:] == [(a, (shelf.pk, None))]


def test_fixtures_are_captured_also_over_existing_rows(told: Told, tmp_path: Path) -> None:
    shelf = Shelf.objects.create(name="A")
    book = Book.objects.create(title="Emma", shelf=shelf)
    genre = Genre.objects.create(name="novel")
    text = json.loads(serializers.serialize("json", [shelf, book]))
    text[0]["fields"]["name"] = "B"
    text[1]["fields"] |= {"genres": [genre.pk], "quantity": 5}
    text[1]["fields"].pop("double", None)
    fixture = tmp_path / "books.json"
    fixture.write_text(json.dumps(text), encoding="utf-8")
    told()
    call_command("loaddata", str(fixture), verbosity=0)
    loaded = told()
    assert loaded[0] == ("samples.shelf", "update", str(shelf.pk), {"name": ("A", "B")})
    assert loaded[1][:2] == (BOOK, "update")
    assert loaded[1][3]["quantity"] == (0, 5)
    assert [action for _, action, *_ in loaded[2:]] == ["m2m.add"]
