"""I1 to I4: what an instance does not say about its row, rows 26 to 37 of the matrix but 33."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core import serializers
from django.core.files.base import ContentFile
from django.core.management import call_command

from tests.conformance.conftest import Told, key
from tests.conftest import Events
from tests.samples.models import Book, BookProxy, Comic, Country, Genre

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


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
