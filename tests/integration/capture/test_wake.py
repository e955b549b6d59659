"""The relay is woken once for each transaction that wrote an event and committed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from auditlog.signals import outbox_written
from tests.conftest import Events
from tests.samples.models import Book, Genre, Unwatched

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def woken() -> Iterator[list[str]]:
    """The aliases that the signal was sent for, as they come."""
    heard: list[str] = []

    def listen(using: str, **_kwargs: Any) -> None:
        heard.append(using)

    outbox_written.connect(listen)
    yield heard
    outbox_written.disconnect(listen)


def test_each_write_in_autocommit_mode_wakes_once(woken: list[str]) -> None:
    genre = Genre.objects.create(name="novel")
    genre.save()
    Genre.objects.update(name="essay")
    assert woken == ["default"] * 3


def test_a_transaction_wakes_once_after_its_commit(woken: list[str]) -> None:
    with transaction.atomic():
        book = Book.objects.create(title="Emma")
        book.genres.add(*Genre.objects.bulk_create([Genre(name="a"), Genre(name="b")]))
        Book.objects.update(title="Emma II")
        assert woken == []
    assert woken == ["default"]


def test_what_rolls_back_wakes_nobody_and_takes_no_other_wake_along(woken: list[str]) -> None:
    with transaction.atomic():
        Genre.objects.create(name="lost")
        transaction.set_rollback(True)
    assert woken == []
    with transaction.atomic():
        with transaction.atomic():
            Genre.objects.create(name="lost")
            transaction.set_rollback(True)
        Genre.objects.create(name="kept")
    assert woken == ["default"]


def test_what_is_not_audited_wakes_nobody(woken: list[str]) -> None:
    Unwatched.objects.create()
    assert woken == []


def test_i8_a_listener_that_fails_and_hooks_of_others_change_nothing(events: Events) -> None:
    done = []

    def fail(**_kwargs: Any) -> None:
        raise RuntimeError

    outbox_written.connect(fail)
    try:
        with transaction.atomic():
            Genre.objects.create(name="novel")
            transaction.on_commit(lambda: done.append(1))
    finally:
        outbox_written.disconnect(fail)
    assert done == [1]
    assert len(events()) == 1


def test_who_manages_transactions_by_hand_is_captured_too(woken: list[str], events: Events) -> None:
    connection.set_autocommit(False)
    try:
        Genre.objects.create(name="novel")
        connection.commit()
        Genre.objects.create(name="lost")
        connection.rollback()
    finally:
        connection.set_autocommit(True)
    assert [event["after"]["name"] for event in events()] == ["novel"]
