"""I1: a change and its event commit together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from auditlog.roles import Role
from tests.conftest import ConnectAs, Events
from tests.samples.models import Book, Genre, Shelf

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


class Broken(Exception):
    """Raised by a receiver of somebody else."""


@contextmanager
def raising(signal: ModelSignal, sender: Any) -> Iterator[None]:
    """Connect a receiver that raises, after ours."""

    def receiver(**_kwargs: Any) -> None:
        raise Broken

    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


@pytest.fixture
def outbox_refuses(owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let every insert into the outbox fail."""
    owner_connection.execute("ALTER TABLE auditlog_outboxevent ADD CONSTRAINT refuse CHECK (false) NOT VALID")
    yield
    owner_connection.execute("ALTER TABLE auditlog_outboxevent DROP CONSTRAINT refuse")


def write_nothing(write: Callable[[], Any]) -> None:
    """Expect that a write fails."""
    with pytest.raises(DatabaseError):
        write()


def test_i1_no_row_changes_while_the_outbox_refuses(events: Events, request: pytest.FixtureRequest) -> None:
    book = Book.objects.create(title="Emma")
    genre = Genre.objects.create(name="novel")
    events()
    request.getfixturevalue("outbox_refuses")
    book.title = "changed"
    for write in (
        book.save,
        lambda: Genre.objects.create(name="essay"),
        lambda: Genre.objects.bulk_create([Genre(name="a"), Genre(name="b")]),
        lambda: Book.objects.update(title="changed"),
        lambda: Book.objects.bulk_update([book], ["title"]),
        lambda: book.genres.add(genre),
        Book.objects.all().delete,
        lambda: Genre.objects.get_or_create(name="c"),
    ):
        write_nothing(write)
    assert (Book.objects.get().title, Genre.objects.get().name, book.genres.count()) == ("Emma", "novel", 0)
    assert events() == []


@pytest.mark.parametrize(("signal", "written"), [(pre_save, False), (post_save, True)])
def test_i1_a_foreign_receiver_that_raises_leaves_row_and_event_or_neither(
    signal: ModelSignal, written: bool, events: Events
) -> None:
    with raising(signal, Genre), pytest.raises(Broken):
        Genre.objects.create(name="novel")
    assert Genre.objects.exists() is written
    assert len(events()) == written
    with raising(signal, Genre), transaction.atomic(), pytest.raises(Broken):
        Genre.objects.create(name="essay")
    assert len(events()) == Genre.objects.filter(name="essay").count()


@pytest.mark.parametrize("signal", [pre_delete, post_delete])
def test_i1_a_receiver_that_raises_during_a_delete_keeps_both(signal: ModelSignal, events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    events()
    with raising(signal, Shelf), pytest.raises(Broken):
        shelf.delete()
    assert Shelf.objects.exists()
    assert events() == []


def test_i1_a_receiver_that_raises_on_links_keeps_both(events: Events) -> None:
    book, genre = Book.objects.create(title="Emma"), Genre.objects.create(name="novel")
    events()
    with raising(m2m_changed, Book.genres.through), pytest.raises(Broken):
        book.genres.add(genre)
    assert not book.genres.exists()
    assert events() == []


def test_i1_a_session_that_dies_leaves_neither(events: Events, connect_as: ConnectAs) -> None:
    kept = Genre.objects.create(name="kept")
    events()

    def write_until_the_session_dies() -> None:
        with transaction.atomic():
            Genre.objects.create(name="lost")
            kept.delete()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                connect_as(Role.APP).execute("SELECT pg_terminate_backend(%s, 10000)", cursor.fetchone())
            Genre.objects.create(name="lost too")

    with pytest.raises(OperationalError):
        write_until_the_session_dies()
    connection.close()
    assert [genre.name for genre in Genre.objects.all()] == ["kept"]
    assert events() == []
