"""I1 to I4: rollbacks, other writers, other receivers and a missing outbox, rows 33 and 38 to 41 of the matrix."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, transaction
from django.db.models.signals import post_save

from tests.conformance.conftest import Told, key
from tests.integration.capture.test_order import in_threads
from tests.samples.models import Book, Country, Genre

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def test_row_33_save_rolled_back_and_saved_again(book: Book, told: Told) -> None:
    book.title = "Emma II"
    with transaction.atomic():
        book.save()
        transaction.set_rollback(True)
    assert told() == []
    book.save()
    assert told() == [("update", "book", key(book), {"title": ("Emma", "Emma II")})]


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
