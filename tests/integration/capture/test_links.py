"""Memberships: one event for each owner and statement, from both sides, about links that really came or went."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import pytest
from django.db import connections, transaction

from tests.conftest import Events
from tests.samples.models import Book, BookProxy, Genre, Loan, Reader

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def links(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return (action, model, key, field, added, removed) of the membership events."""
    return [
        (
            event["audit"]["action"],
            event["audit"]["model"],
            event["audit"]["object_pk"],
            event["audit"]["m2m"]["field"],
            event["audit"]["m2m"]["added"],
            event["audit"]["m2m"]["removed"],
        )
        for event in events
        if event["op"] == "m"
    ]


@pytest.fixture
def book() -> Book:
    return Book.objects.create(title="Emma")


@pytest.fixture
def genres() -> list[Genre]:
    return Genre.objects.bulk_create([Genre(name=name) for name in ("a", "b", "c")])


def test_a_membership_event_has_the_shape_of_the_contract(book: Book, genres: list[Genre], events: Events) -> None:
    book.genres.add(genres[1], genres[0])
    (event,) = events()
    keys = [str(genres[0].pk), str(genres[1].pk)]
    assert (event["before"], event["after"], event["op"]) == (None, None, "m")
    assert event["audit"]["object_pk"] == str(book.pk)
    assert event["audit"]["m2m"] == {
        "field": "genres",
        "target_model": "samples.genre",
        "added": keys,
        "removed": [],
        "through": None,
        "labels": {key: f"Genre object ({key})" for key in keys},
    }
    assert event["source"]["table"] == "samples_book_genres"


def test_both_sides_speak_of_the_object_that_declares_the_field(
    book: Book, genres: list[Genre], events: Events
) -> None:
    other = Book.objects.create(title="Persuasion")
    events()
    genres[0].books.add(book, other)
    genres[0].books.remove(book)
    genres[0].books.clear()
    book.genres.add(*genres)
    book.genres.remove(genres[0])
    book.genres.set(genres[:2])
    book.genres.set(genres[:2])
    book.genres.clear()
    a, b, c = (str(genre.pk) for genre in genres)
    mine, others = str(book.pk), str(other.pk)

    def told(action: str, key: str, added: list[str], removed: list[str]) -> tuple[Any, ...]:
        return (action, "samples.book", key, "genres", added, removed)

    found = links(events())
    assert sorted(found[:2]) == sorted([told("m2m.add", mine, [a], []), told("m2m.add", others, [a], [])])
    assert found[2:] == [
        told("m2m.remove", mine, [], [a]),
        told("m2m.remove", others, [], [a]),
        told("m2m.add", mine, [a, b, c], []),
        told("m2m.remove", mine, [], [a]),
        told("m2m.remove", mine, [], [c]),
        told("m2m.add", mine, [a], []),
        told("m2m.remove", mine, [], [a, b]),
    ]


def test_i3_links_that_are_there_or_never_were_leave_no_event(book: Book, genres: list[Genre], events: Events) -> None:
    book.genres.add(genres[0])
    events()
    book.genres.add(genres[0])
    book.genres.remove(genres[2])
    book.genres.add(*genres[:2])
    assert links(events()) == [("m2m.add", "samples.book", str(book.pk), "genres", [str(genres[1].pk)], [])]


def test_links_that_go_with_an_end_are_told(book: Book, genres: list[Genre], events: Events) -> None:
    book.genres.add(*genres[:2])
    a, b = (str(genre.pk) for genre in genres[:2])
    events()
    genres[0].delete()
    assert links(events()) == [("m2m.remove", "samples.book", str(book.pk), "genres", [], [a])]
    key = str(book.pk)
    book.delete()
    assert links(events()) == [("m2m.remove", "samples.book", key, "genres", [], [b])]


def test_a_through_row_tells_its_own_fields_and_keys_of_the_targets(book: Book, events: Events) -> None:
    ann, bob = Reader.objects.bulk_create([Reader(card="A-1"), Reader(card="B-2")])
    events()
    book.readers.add(ann, through_defaults={"since": date(2026, 1, 1)})
    Loan.objects.filter(reader=ann).update(since=date(2026, 2, 2))
    Loan.objects.filter(reader=ann).update(reader=bob)
    Loan.objects.create(book=book, reader=ann)
    Loan.objects.all().delete()
    a, b = str(ann.pk), str(bob.pk)
    added, changed, moved_from, moved_to, created, *removed = events()
    assert added["audit"]["m2m"] == {
        "field": "readers",
        "target_model": "samples.reader",
        "added": [a],
        "removed": [],
        "through": {a: {"since": "2026-01-01"}},
        "labels": {a: "reader A-1"},
    }
    assert (changed["audit"]["action"], changed["audit"]["m2m"]["through"]) == (
        "m2m.update",
        {a: {"since": "2026-02-02"}},
    )
    key = str(book.pk)
    assert links([moved_from, moved_to]) == [
        ("m2m.remove", "samples.book", key, "readers", [], [a]),
        ("m2m.add", "samples.book", key, "readers", [b], []),
    ]
    assert links([created]) == [("m2m.add", "samples.book", key, "readers", [a], [])]
    assert [target for event in links(removed) for target in event[5]] == [a, b]


def test_through_rows_that_conflict_are_added_or_updated(book: Book, events: Events) -> None:
    ann, bob = Reader.objects.bulk_create([Reader(card="A-1"), Reader(card="B-2")])
    loan = Loan.objects.create(book=book, reader=ann)
    events()
    rows = [Loan(pk=loan.pk, book=book, reader=ann, since=date(2026, 1, 1)), Loan(pk=99, book=book, reader=bob)]
    Loan.objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=["since"])
    told = {event["audit"]["action"]: event["audit"]["m2m"] for event in events()}
    assert (told["m2m.add"]["added"], told["m2m.add"]["through"]) == ([str(bob.pk)], {str(bob.pk): {"since": None}})
    assert told["m2m.update"]["through"] == {str(ann.pk): {"since": "2026-01-01"}}
    assert len(told) == 2


def test_a_symmetrical_field_tells_each_side(events: Events) -> None:
    ann, bob = Reader.objects.bulk_create([Reader(card="A-1"), Reader(card="B-2")])
    events()
    ann.friends.add(bob)
    a, b = str(ann.pk), str(bob.pk)
    told: list[tuple[Any, ...]] = [
        ("m2m.add", "samples.reader", a, "friends", [b], []),
        ("m2m.add", "samples.reader", b, "friends", [a], []),
    ]
    assert sorted(links(events())) == sorted(told)  # as text: 10 comes before 9


def test_a_proxy_adds_to_the_same_object(book: Book, genres: list[Genre], events: Events) -> None:
    BookProxy.objects.get().genres.add(genres[0])
    assert links(events()) == [("m2m.add", "samples.book", str(book.pk), "genres", [str(genres[0].pk)], [])]


def test_i3_two_identical_adds_at_once_are_one_event(book: Book, genres: list[Genre], events: Events) -> None:
    barrier = threading.Barrier(2, timeout=30)

    def add() -> None:
        try:
            with transaction.atomic():
                mine = Book.objects.get(pk=book.pk)
                barrier.wait()
                mine.genres.add(genres[0])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert links(events()) == [("m2m.add", "samples.book", str(book.pk), "genres", [str(genres[0].pk)], [])]
    assert list(book.genres.all()) == [genres[0]]


def test_many_links_are_one_statement_and_one_event(book: Book, events: Events, django_assert_num_queries: Any) -> None:
    many = Genre.objects.bulk_create(Genre(name=str(n)) for n in range(300))
    events()
    through: Any = Book.genres.through
    with transaction.atomic(), django_assert_num_queries(1):
        made = through.objects.bulk_create(through(book=book, genre=genre) for genre in many)
    assert all(link.pk for link in made)
    ((*_, added, _),) = links(events())
    assert added == [str(genre.pk) for genre in many]
