"""I2, I3: further ways in which the ORM writes, each with exactly its events, and its own answer left as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Count, Exists, F, OuterRef, Subquery

from tests.conformance.conftest import Told
from tests.conftest import Events
from tests.samples.models import (
    Author,
    Book,
    BookProxy,
    Comic,
    Country,
    Edition,
    Genre,
    IndexCard,
    Loan,
    Mentorship,
    Pamphlet,
    Reader,
    Receipt,
    Remark,
    Shelf,
    Stamp,
)

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def key(row: Any) -> str:
    """Return the key of a row as events have it."""
    return str(row.pk)


def briefly(told: Told) -> list[tuple[str, str, str]]:
    """Return (action, model, key) of the events since the last call."""
    return [event[:3] for event in told()]


def test_an_object_deleted_twice_is_told_once(told: Told) -> None:
    genre = Genre.objects.create(name="novel")
    twin = Genre.objects.get()
    told()
    number = key(genre)
    assert genre.delete() == (1, {"samples.Genre": 1})
    assert twin.delete()[0] == 0
    with pytest.raises(ValueError, match="can't be deleted"):
        twin.delete()
    assert briefly(told) == [("delete", "genre", number)]


def test_reads_leave_no_event(told: Told) -> None:
    genre = Genre.objects.create(name="novel")
    told()
    genre.refresh_from_db()
    assert Genre.objects.in_bulk([genre.pk]) == {genre.pk: genre}
    with transaction.atomic():
        assert Genre.objects.select_for_update().get() == genre
    assert list(Genre.objects.prefetch_related("books").iterator(chunk_size=1)) == [genre]
    assert Genre.objects.get_or_create(name="novel") == (genre, False)
    assert told() == []


def test_savepoints_keep_what_was_released_and_lose_what_was_not(told: Told) -> None:
    genre = Genre.objects.create(name="0")
    told()

    def rename(name: str) -> None:
        Genre.objects.filter(pk=genre.pk).update(name=name)

    with transaction.atomic():
        rename("1")
        first = transaction.savepoint()
        rename("lost")
        second = transaction.savepoint()
        rename("lost as well")
        transaction.savepoint_commit(second)
        transaction.savepoint_rollback(first)
        rename("2")
        third = transaction.savepoint()
        rename("3")
        transaction.savepoint_commit(third)
    renames = [change["name"] for *_, change in told()]
    assert renames == [("0", "1"), ("1", "2"), ("2", "3")]


def test_counts_are_those_of_the_rows_and_not_of_the_events(told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    books = Book.objects.bulk_create([Book(title=str(n), shelf=shelf) for n in range(3)])
    readers = Reader.objects.bulk_create([Reader(card=str(n)) for n in range(2)])
    for book in books:
        book.readers.set(readers)
    told()
    assert Shelf.objects.update(name="A") == 1
    assert Loan.objects.update(since=None) == 6
    assert Loan.objects.filter(book__title="x").update(since=None) == 0
    assert told() == []
    assert Loan.objects.filter(book=books[0])._raw_delete("default") == 2
    assert Book.objects.filter(title__in=["1", "2"]).delete() == (6, {"samples.Book": 2, "samples.Loan": 4})
    assert sorted(action for action, *_ in told()) == ["delete"] * 2 + ["m2m.remove"] * 3


def test_batches_are_told_in_the_order_of_the_objects_and_hand_back_their_keys(told: Told) -> None:
    genres = Genre.objects.bulk_create([Genre(name=str(n)) for n in range(10)], batch_size=3)
    assert briefly(told) == [("create", "genre", key(genre)) for genre in genres]
    assert [genre.pk for genre in genres] == list(Genre.objects.order_by("pk").values_list("pk", flat=True))
    for genre in genres:
        genre.name += "!"
    assert Genre.objects.bulk_update(genres, ["name"], batch_size=4) == 10
    assert sorted(change["name"] for *_, change in told()) == [(str(n), f"{n}!") for n in range(10)]


def test_many_rows_that_conflict_have_each_its_own_past(events: Events) -> None:
    books = Book.objects.bulk_create([Book(title=str(n), price=n, secret=f"s{n}", code=f"c{n}") for n in range(3)])
    ann, bob = Reader.objects.bulk_create([Reader(card="A-1"), Reader(card="B-2")])
    days = [date(2026, 1, day) for day in (1, 2)]
    loans = [Loan(book=books[0], reader=r, since=day) for r, day in zip((ann, bob), days, strict=True)]
    Loan.objects.bulk_create(loans)
    events()
    for book in books:
        book.price, book.secret = 10, "another"
    books.insert(1, Book(pk=10_000, title="new", updated_at=books[0].updated_at))
    update: dict[str, Any] = {"update_conflicts": True, "unique_fields": ["id"]}
    Book.objects.bulk_create(books, update_fields=["price", "secret"], **update)
    told = [(e["op"], e["before"] and (e["before"]["title"], e["before"]["price"])) for e in events()]
    assert told == [("u", ("0", "0.00")), ("c", None), ("u", ("1", "1.00")), ("u", ("2", "2.00"))]
    loans[0].since = days[1]  # the other one stays as it is
    Loan.objects.bulk_create(loans, update_fields=["since"], **update)
    (event,) = events()
    assert event["audit"]["m2m"]["through"] == {key(ann): {"since": "2026-01-02"}}


def test_update_or_create_tells_what_it_created_with_defaults_of_their_own(told: Told) -> None:
    for _ in range(2):
        Country.objects.update_or_create(code="CH", defaults={"name": "changed"}, create_defaults={"name": "created"})
    assert told() == [
        ("create", "country", "CH", {"code": (None, "CH"), "name": (None, "created")}),
        ("update", "country", "CH", {"name": ("created", "changed")}),
    ]


def test_forced_saves_tell_what_they_did_and_nothing_where_they_failed(told: Told) -> None:
    country = Country(code="CH", name="Suisse")
    with pytest.raises(DatabaseError, match="did not affect any rows"):
        country.save(force_update=True)
    assert told() == []
    country.save(force_insert=True)
    country.name = "Schweiz"
    country.save(force_update=True)
    with pytest.raises(DatabaseError, match="duplicate key"):
        country.save(force_insert=True)
    assert briefly(told) == [("create", "country", "CH"), ("update", "country", "CH")]


def test_a_save_that_found_no_row_lends_its_text_to_no_other_write(events: Events) -> None:
    shelf = Shelf(pk=7, name="of the failed save")
    with pytest.raises(DatabaseError, match="did not affect any rows"):
        shelf.save(force_update=True)
    Shelf.objects.bulk_create([Shelf(pk=7, name="A")])
    Shelf.objects.filter(pk=7).update(name="B")
    assert [event["audit"]["object_repr"] for event in events()] == [None, None]


def test_a_clone_is_a_new_object(told: Told) -> None:
    genre = Genre.objects.create(name="novel")
    first = key(genre)
    genre.pk, genre._state.adding, genre.name = None, True, "clone"
    genre.save()
    assert briefly(told) == [("create", "genre", first), ("create", "genre", key(genre))]


def test_conditions_over_joins_and_aggregates_tell_the_rows_that_they_meant(told: Told) -> None:
    shelf = Shelf.objects.create(name="A")
    one, two, three = Book.objects.bulk_create([Book(title=str(n), quantity=n) for n in range(3)])
    genres = Genre.objects.bulk_create([Genre(name="a"), Genre(name="b")])
    one.genres.set(genres)
    two.genres.set(genres[:1])
    told()
    Book.objects.annotate(count=Count("genres")).filter(count__gt=1).update(shelf=shelf)
    assert told() == [("update", "book", key(one), {"shelf_id": (None, shelf.pk)})]
    newest = Book.objects.order_by("-quantity").values("title")[:1]
    assert Book.objects.filter(genres__name="b").update(title=Subquery(newest)) == 1
    assert told() == [("update", "book", key(one), {"title": ("0", "2")})]
    linked = Book.genres.through.objects.filter(book=OuterRef("pk"))
    assert Book.objects.filter(~Exists(linked)).order_by("title").update(quantity=F("quantity") + 8) == 1
    assert told() == [("update", "book", key(three), {"quantity": (2, 10), "double": (4, 20)})]
    assert Book.objects.filter(shelf__name="A").update(shelf=None) == 1
    told()
    Book.objects.filter(pk=three.pk).update(shelf=shelf)
    assert Book.objects.filter(shelf__name="A", quantity__gt=5)._raw_delete("default") == 1
    assert briefly(told) == [("update", "book", key(three)), ("delete", "book", key(three))]


def test_references_that_get_another_value_are_told(told: Told) -> None:
    Country.objects.bulk_create([Country(code=code, name=code) for code in ("CH", "XX")])
    country = Country.objects.get(code="CH")
    edition = Edition.objects.create(printed_in=country, sold_in=country)
    told()
    country.delete()
    found = told()
    assert found[0] == ("create", "country", "??", {"code": (None, "??"), "name": (None, "elsewhere")})
    moves = [change for _, model, _, change in found if model == "edition"]
    assert sorted(moves, key=str) == [{"printed_in_id": ("CH", "XX")}, {"sold_in_id": ("CH", "??")}]
    assert found[-1][:3] == ("delete", "country", "CH")
    assert len(found) == 4
    edition.refresh_from_db()
    assert (edition.printed_in_id, edition.sold_in_id) == ("XX", "??")


def test_remarks_about_an_object_go_and_come_with_it(told: Told) -> None:
    pamphlet = Pamphlet.objects.create(title="one")
    told()
    first, second, third = (pamphlet.remarks.create(text=str(n)) for n in range(3))
    keys = [key(remark) for remark in (first, second, third)]
    assert briefly(told) == [("create", "remark", number) for number in keys]
    pamphlet.remarks.set([first, third])
    assert briefly(told) == [("delete", "remark", keys[1])]
    pamphlet.remarks.clear()
    assert sorted(briefly(told)) == sorted(("delete", "remark", number) for number in (keys[0], keys[2]))
    last = pamphlet.remarks.create(text="last")
    told()
    number = key(pamphlet)
    pamphlet.delete()
    assert sorted(briefly(told)) == [("delete", "pamphlet", number), ("delete", "remark", key(last))]
    assert not Remark.objects.exists()


def test_a_reference_may_be_the_key(told: Told) -> None:
    one, two = Book.objects.bulk_create([Book(title="one"), Book(title="two")])
    told()
    card = IndexCard.objects.create(book=one, drawer="A")
    card.drawer = "B"
    card.save()
    Stamp.objects.create(card=card)
    created, updated, stamped = told()
    assert created == ("create", "indexcard", key(one), {"book_id": (None, one.pk), "drawer": (None, "A")})
    assert updated == ("update", "indexcard", key(one), {"drawer": ("A", "B")})
    assert stamped[3]["card_id"] == (None, one.pk)
    Stamp.objects.all().delete()
    told()
    IndexCard.objects.update(book=two)
    assert briefly(told) == [("delete", "indexcard", key(one)), ("create", "indexcard", key(two))]
    stamp = Stamp.objects.create(card_id=two.pk)
    told()
    number, stamp_number = key(two), key(stamp)
    two.delete()
    assert sorted(briefly(told)) == [
        ("delete", "book", number),
        ("delete", "indexcard", number),
        ("delete", "stamp", stamp_number),
    ]


def test_links_to_the_same_model_have_a_direction_and_fields(events: Events) -> None:
    ann, bob, eve = Author.objects.bulk_create([Author(name=name) for name in ("ann", "bob", "eve")])
    events()
    ann.mentors.add(bob, through_defaults={"weeks": 3, "arranged_by": eve})
    eve.pupils.add(bob)
    Mentorship.objects.filter(mentor=bob).update(weeks=4)
    number = eve.pk
    eve.delete()
    found = [event["audit"] for event in events() if event["op"] == "m"]
    brief = [(a["action"], a["object_pk"], a["m2m"]["added"], a["m2m"]["removed"]) for a in found]
    assert brief[:3] == [
        ("m2m.add", key(ann), [key(bob)], []),
        ("m2m.add", key(bob), [str(number)], []),
        ("m2m.update", key(ann), [], []),
    ]
    assert sorted(brief[3:]) == [("m2m.remove", key(bob), [], [str(number)]), ("m2m.update", key(ann), [], [])]
    assert {audit["m2m"]["field"] for audit in found} == {"mentors"}
    through = [a["m2m"]["through"] for a in found if a["object_pk"] == key(ann)]
    assert through == [
        {key(bob): {"arranged_by_id": number, "weeks": 3}},
        {key(bob): {"arranged_by_id": number, "weeks": 4}},
        {key(bob): {"arranged_by_id": None, "weeks": 4}},
    ]


def test_managers_of_links_tell_what_they_make_and_what_they_link(told: Told) -> None:
    book, shared = Book.objects.create(title="Emma"), Genre.objects.create(name="shared")
    book.genres.add(shared)
    told()
    made = book.genres.create(name="made")
    book.genres.get_or_create(name="shared")
    other, _ = book.genres.update_or_create(name="other")
    found = [event for event in told() if event[0].startswith("m2m")]
    assert found == [("m2m.add", "book", key(book), ("genres", [key(genre)], [])) for genre in (made, other)]
    book.genres.set([shared], clear=True)
    assert told() == [
        ("m2m.remove", "book", key(book), ("genres", [], [key(shared), key(made), key(other)])),
        ("m2m.add", "book", key(book), ("genres", [key(shared)], [])),
    ]


def test_sets_written_through_a_proxy_are_those_of_its_table(told: Told) -> None:
    one, two = BookProxy.objects.bulk_create([BookProxy(title="one"), BookProxy(title="two")])
    assert BookProxy.objects.filter(title="one").update(title="changed") == 1
    assert BookProxy.objects.filter(title="two")._raw_delete("default") == 1
    assert briefly(told) == [
        ("create", "book", key(one)),
        ("create", "book", key(two)),
        ("update", "book", key(one)),
        ("delete", "book", key(two)),
    ]


def test_a_symmetrical_link_goes_from_both_sides(told: Told) -> None:
    ann, bob = Reader.objects.bulk_create([Reader(card="A-1"), Reader(card="B-2")])
    a, b = key(ann), key(bob)
    gone: list[tuple[Any, ...]] = sorted(
        [("m2m.remove", "reader", a, ("friends", [], [b])), ("m2m.remove", "reader", b, ("friends", [], [a]))]
    )
    leaves: tuple[Callable[[], Any], ...] = (
        lambda: ann.friends.remove(bob),
        lambda: bob.friends.set([]),
        ann.friends.clear,
    )
    for leave in leaves:
        ann.friends.add(bob)
        told()
        leave()
        assert sorted(told()) == gone


def test_a_child_may_leave_its_parent_and_come_back(told: Told) -> None:
    comic = Comic.objects.create(title="Tintin", colour=True)
    number = comic.pk
    told()
    comic.delete(keep_parents=True)
    gone = {"book_ptr_id": (number, None), "colour": (True, None)}
    assert told() == [("delete", "comic", str(number), gone)]
    book = Book.objects.get()
    again = Comic(book_ptr=book)
    again.save_base(raw=True)
    assert briefly(told) == [("create", "comic", str(number))]
    assert Comic.objects.get().title == "Tintin"


def test_values_that_the_database_puts_in_are_told(told: Told) -> None:
    receipt = Receipt.objects.create()
    Receipt.objects.bulk_create([Receipt(number=1), Receipt(note="x")])
    first, second, third = (change for *_, change in told())
    assert (first["number"], first["note"]) == ((None, 7), (None, "paid"))
    assert datetime.fromisoformat(first["issued_at"][1]) == receipt.issued_at
    assert (second["number"], second["note"]) == ((None, 1), (None, "paid"))
    assert (third["number"], third["note"]) == ((None, 7), (None, "x"))
