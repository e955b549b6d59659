"""I1 to I4: memberships of many-to-many fields, rows 18 to 25 of the matrix."""

from __future__ import annotations

from datetime import date

import pytest

from tests.conformance.conftest import Told, key
from tests.conftest import Events
from tests.integration.capture.test_order import in_threads
from tests.samples.models import Book, Genre, Loan, Reader

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


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
