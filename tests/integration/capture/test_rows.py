"""I3: the images are what the database held, for every way of writing one row; no event for what did not happen."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When

from auditlog.errors import UncapturedWrite
from tests.conftest import Events
from tests.integration.capture.conftest import Told
from tests.samples.models import (
    Awkward,
    Book,
    BookProxy,
    Comic,
    Country,
    Genre,
    Guarded,
    OrderLine,
    Shelf,
    Ticket,
    Unwatched,
)

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

BOOK = "samples.book"


def by_key(event: tuple[Any, ...]) -> int:
    """Sort events of one statement, which the database writes in any order."""
    return int(event[2])


def test_i3_a_life_of_a_row_is_told_with_what_the_database_held(events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    book = Book.objects.create(title="Emma", quantity=2, price=Decimal("10"), shelf=shelf, note={"a": [1.5, None]})
    Book.objects.filter(pk=book.pk).update(title="Emma II")
    book.quantity = 3
    book.save()  # the instance is stale: it puts the old title back
    key = book.pk
    book.delete()

    _, created, retitled, saved, deleted = events()
    assert created["before"] is None
    image = {
        "id": key,
        "shelf_id": shelf.pk,
        "title": "Emma",
        "quantity": 2,
        "price": "10.00",
        "cover": "",
        "note": {"a": [1.5, None]},
        "secret": None,
        "code": None,
        "double": 4,
        "updated_at": created["after"]["updated_at"],
    }
    assert created["after"] == image
    assert retitled["before"] == image
    assert retitled["after"] == image | {"title": "Emma II"}
    assert saved["before"] == retitled["after"]
    assert saved["after"] == image | {"quantity": 3, "double": 6, "updated_at": saved["after"]["updated_at"]}
    assert saved["after"]["updated_at"] > image["updated_at"]
    assert deleted["before"] == saved["after"]
    assert deleted["after"] is None
    assert [event["op"] for event in (created, retitled, saved, deleted)] == ["c", "u", "u", "d"]


def test_i3_only_named_fields_count_and_expressions_have_their_result(told: Told) -> None:
    book = Book.objects.create(title="Emma", quantity=1)
    told()
    book.title, book.quantity = "dirty in memory", F("quantity") + 5
    book.save(update_fields=["quantity"])

    key = str(book.pk)
    assert told() == [(BOOK, "update", key, {"quantity": (1, 6), "double": (2, 12)})]
    book.refresh_from_db()
    book.price = "10.5"
    book.save()
    book.price = Decimal("10.50")
    book.save()
    # Only updated_at differs in the second one, and that is told as well.
    assert told() == [(BOOK, "update", key, {"price": (None, "10.50")}), (BOOK, "update", key, {})]


def test_i3_a_write_that_changes_nothing_tracked_leaves_no_event(told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    book = Book.objects.create(title="Emma")
    told()
    shelf.save()
    Shelf.objects.update(name="A")
    Shelf.objects.filter(name="B").update(name="C")
    Shelf.objects.filter(name="B").delete()
    book.draft = "excluded from the images"
    book.save(update_fields=["draft"])

    assert told() == []


def test_i3_a_failed_write_leaves_no_event_and_the_next_one_is_right(told: Told) -> None:
    Genre.objects.create(name="novel")
    told()
    with pytest.raises(IntegrityError):
        Genre.objects.create(name="novel")
    with pytest.raises(IntegrityError):
        Genre.objects.bulk_create([Genre(name="essay"), Genre(name="novel")])

    assert told() == []
    essay = Genre.objects.create(name="essay")
    assert told() == [("samples.genre", "create", str(essay.pk), {"id": (None, essay.pk), "name": (None, "essay")})]


def test_get_or_create_and_update_or_create_tell_what_they_did(told: Told) -> None:
    first, created = Genre.objects.get_or_create(name="novel")
    again, _ = Genre.objects.get_or_create(name="novel")
    assert (created, again.pk) == (True, first.pk)
    Genre.objects.update_or_create(pk=first.pk, defaults={"name": "essay"})
    Genre.objects.update_or_create(pk=first.pk, defaults={"name": "essay"})

    actions = [(action, changes.get("name")) for _, action, _, changes in told()]
    assert actions == [("create", (None, "novel")), ("update", ("novel", "essay"))]


def test_i3_saving_an_instance_over_an_existing_key_is_an_update(told: Told) -> None:
    Country.objects.create(code="CH", name="Suisse")
    told()
    Country(code="CH", name="Schweiz").save()
    country = Country.objects.get()
    country.code = "AT"
    country.save()  # a second row: Django knows no other key of it

    assert told() == [
        ("samples.country", "update", "CH", {"name": ("Suisse", "Schweiz")}),
        ("samples.country", "create", "AT", {"code": (None, "AT"), "name": (None, "Schweiz")}),
    ]


def test_a_changed_key_is_the_end_of_one_object_and_the_beginning_of_another(events: Events) -> None:
    Country.objects.create(code="CH", name="Suisse")
    events()
    Country.objects.filter(code="CH").update(code="FR")

    gone, come = events()
    assert (gone["op"], gone["audit"]["object_pk"], gone["audit"]["data"]) == ("d", "CH", {"moved_to": "FR"})
    assert (come["op"], come["audit"]["object_pk"], come["audit"]["data"]) == ("c", "FR", {"moved_from": "CH"})
    assert gone["before"] == {"code": "CH", "name": "Suisse"}
    assert come["after"] == {"code": "FR", "name": "Suisse"}


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
    assert sorted((action, key) for _, action, key, _ in told()) == [("delete", x), ("delete", y)]
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


def test_i3_a_proxy_and_a_deferred_instance_tell_the_whole_row(events: Events) -> None:
    book = BookProxy.objects.create(title="Emma", quantity=7)
    deferred = Book.objects.only("title").get()
    deferred.title = "Emma II"
    deferred.save()
    Book.objects.defer("quantity").get().delete()
    created, updated, deleted = events()
    assert {event["audit"]["model"] for event in (created, updated, deleted)} == {BOOK}
    assert updated["before"]["quantity"] == updated["after"]["quantity"] == deleted["before"]["quantity"] == 7
    assert created["audit"]["object_pk"] == str(book.pk)


def test_an_inherited_table_tells_both_streams(told: Told) -> None:
    comic = Comic.objects.create(title="Tintin")
    key = str(comic.pk)
    assert [(model, action, pk) for model, action, pk, _ in told()] == [
        (BOOK, "create", key),
        ("samples.comic", "create", key),
    ]
    comic.title, comic.colour = "Asterix", True
    comic.save()
    assert told() == [
        (BOOK, "update", key, {"title": ("Tintin", "Asterix")}),
        ("samples.comic", "update", key, {"colour": (False, True)}),
    ]
    Comic.objects.filter(pk=comic.pk).update(title="Spirou", colour=False)
    assert sorted(told()) == [
        (BOOK, "update", key, {"title": ("Asterix", "Spirou")}),
        ("samples.comic", "update", key, {"colour": (True, False)}),
    ]
    comic.delete()
    assert [(model, action) for model, action, *_ in told()] == [("samples.comic", "delete"), (BOOK, "delete")]


def test_composite_and_uuid_keys_are_text(events: Events) -> None:
    line = OrderLine.objects.create(tenant='ac"me, x', number=42, amount=1)
    line.amount = 2
    line.save()
    OrderLine.objects.filter(tenant=line.tenant).update(amount=3)
    line.delete()
    ticket = Ticket.objects.create(title="t")
    *lines, created = events()
    assert [event["audit"]["object_pk"] for event in lines] == ['["ac\\"me, x",42]'] * 4
    assert [event["op"] for event in lines] == ["c", "u", "u", "d"]
    assert created["audit"]["object_pk"] == str(ticket.pk)
    assert created["audit"]["object_repr"] == "ticket t"
    assert uuid.UUID(created["audit"]["event_id"]).version == 7


def test_i3_names_that_collide_with_those_of_sql_change_nothing(told: Told) -> None:
    row = Awkward.objects.create(old=1, new=2, when=3, row=4)
    told()
    row.old, row.when = 10, 30
    row.save()
    Awkward.objects.update(new=F("new") + F("old"), row=F("row") * 2)
    row.delete()
    updated, moved, deleted = told()
    assert updated[3] == {"old": (1, 10), "when": (3, 30)}
    assert moved[3] == {"new": (2, 12), "auditlog_row": (4, 8)}
    assert deleted[1] == "delete"
    assert not Awkward.objects.exists()


def test_i3_a_file_has_the_name_under_which_it_was_stored(events: Events) -> None:
    for _ in range(2):
        book = Book(title="Emma")
        book.cover.save("emma of i3.txt", ContentFile(b"x"))
    first, second = (event["after"]["cover"] for event in events())
    assert first == "covers/emma_of_i3.txt"
    assert second == book.cover.name != first


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


def test_raw_saves_can_be_left_out(told: Told, settings: Any) -> None:
    settings.AUDITLOG_DISABLE_ON_RAW_SAVE = True
    shelf = Shelf(pk=7, name="A")
    shelf.save_base(raw=True)
    assert told() == []
    shelf.name = "B"
    shelf.save()
    assert [(action, changes) for _, action, _, changes in told()] == [("update", {"name": ("A", "B")})]


def test_a_model_that_is_not_registered_keeps_its_statements(told: Told, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(5) as captured:
        row = Unwatched.objects.create(value=1)
        Unwatched.objects.filter(pk=row.pk).update(value=2)
        Unwatched.objects.all().delete()
    statements = [query["sql"] for query in captured.captured_queries]
    # Deleted at once, in Django's own transaction: not read before.
    assert [text.split()[0] for text in statements] == ["INSERT", "UPDATE", "BEGIN", "DELETE", "COMMIT"]
    assert not any("auditlog" in text for text in statements)
    assert told() == []


def test_capture_adds_no_statement_to_a_write(django_assert_num_queries: Any) -> None:
    shelf = Shelf.objects.create(name="A")  # the first write of a connection looks for the functions
    with django_assert_num_queries(1):
        book = Book.objects.create(title="Emma")
    with django_assert_num_queries(1):
        book.save(update_fields=["title", "updated_at"])
    with django_assert_num_queries(1):
        Book.objects.update(shelf=shelf)
    with transaction.atomic(), django_assert_num_queries(1):
        Book.objects.bulk_create(Book(title=str(n)) for n in range(100))
    with django_assert_num_queries(1):
        Book.objects.filter(title="Emma").update(title="Emma II")


def test_i3_a_rolled_back_savepoint_takes_its_events_along(told: Told) -> None:
    with transaction.atomic():
        kept = Genre.objects.create(name="kept")
        with transaction.atomic():
            Genre.objects.create(name="lost")
            transaction.set_rollback(True)
    assert [key for _, _, key, _ in told()] == [str(kept.pk)]
    with transaction.atomic():
        kept.delete()
        transaction.set_rollback(True)
    assert told() == []


async def test_asynchronous_writes_are_captured(told: Told) -> None:
    from asgiref.sync import sync_to_async

    genre = await Genre.objects.acreate(name="novel")
    genre.name = "essay"
    await genre.asave()
    await Genre.objects.aupdate(name="play")
    key = str(genre.pk)
    await genre.adelete()
    found = await sync_to_async(told)()
    assert [(action, pk, changes["name"]) for _, action, pk, changes in found] == [
        ("create", key, (None, "novel")),
        ("update", key, ("novel", "essay")),
        ("update", key, ("essay", "play")),
        ("delete", key, ("play", None)),
    ]
