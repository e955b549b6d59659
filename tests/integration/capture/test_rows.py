"""I3: the images are what the database held, for every way of writing one row; no event for what did not happen."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.db.models import F

from tests.conftest import Events
from tests.integration.capture.conftest import Told
from tests.samples.models import Awkward, Book, BookProxy, Comic, Country, Genre, OrderLine, Shelf, Ticket

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

BOOK = "samples.book"


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


def test_raw_saves_can_be_left_out(told: Told, settings: Any) -> None:
    settings.AUDITLOG_DISABLE_ON_RAW_SAVE = True
    shelf = Shelf(pk=7, name="A")
    shelf.save_base(raw=True)
    assert told() == []
    shelf.name = "B"
    shelf.save()
    assert [(action, changes) for _, action, _, changes in told()] == [("update", {"name": ("A", "B")})]


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
