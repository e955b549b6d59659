"""`table_written` tells of every ORM write, of those that send no Django signal too, and harms none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import models
from django.utils import timezone

from auditlog.context import disable_auditlog
from auditlog.signals import table_written
from tests.conftest import Events
from tests.samples.models import Book, Genre, Shelf, Unwatched

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]

Heard = Callable[[], list[tuple[str, str, bool]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Return the label, operation and `framed` of each signal since the last call."""
    told: list[tuple[str, str, bool]] = []

    def listen(sender: type[models.Model], using: str, operation: str, framed: bool, **_kwargs: Any) -> None:
        assert using == "default"
        told.append((sender._meta.label_lower, str(operation), framed))

    def take() -> list[tuple[str, str, bool]]:
        taken, told[:] = list(told), []
        return taken

    table_written.connect(listen)
    yield take
    table_written.disconnect(listen)


def test_writes_of_instances_are_framed(heard: Heard) -> None:
    shelf = Shelf.objects.create(name="a")
    shelf.save()
    shelf.delete()
    told = [told for told in heard() if told[0] == "samples.shelf"]
    assert told == [("samples.shelf", "c", True), ("samples.shelf", "u", True), ("samples.shelf", "d", True)]


def test_set_based_writes_are_told_and_not_framed(heard: Heard) -> None:
    Shelf.objects.bulk_create([Shelf(name="a"), Shelf(name="b")])
    Shelf.objects.update(name="c")
    Shelf.objects.filter(name="c")._raw_delete("default")
    assert heard() == [("samples.shelf", operation, False) for operation in "cud"]


def test_the_keys_that_a_condition_names_are_told() -> None:
    named: list[tuple[str, ...]] = []

    def listen(named_keys: tuple[str, ...], **_kwargs: Any) -> None:
        named.append(named_keys)

    shelf = Shelf.objects.create(name="a")
    table_written.connect(listen, sender=Shelf)
    try:
        Shelf.objects.filter(pk__in=[shelf.pk]).update(name="b")
        Shelf.objects.filter(name="b").update(name="c")
        Shelf.objects.filter(pk=shelf.pk)._raw_delete("default")
    finally:
        table_written.disconnect(listen, sender=Shelf)
    assert named == [(str(shelf.pk),), (), (str(shelf.pk),)]


def test_links_are_told_with_their_through_table(heard: Heard) -> None:
    book, genre = Book.objects.create(title="Emma"), Genre.objects.create(name="novel")
    heard()
    book.genres.add(genre)
    book.genres.clear()
    assert heard() == [("samples.book_genres", "c", False), ("samples.book_genres", "d", False)]


def test_a_write_that_found_no_row_is_not_told(heard: Heard) -> None:
    Shelf.objects.filter(name="nowhere").update(name="x")
    Shelf.objects.filter(name="nowhere")._raw_delete("default")
    assert heard() == []


def test_unregistered_tables_and_unaudited_blocks_are_told_too(heard: Heard) -> None:
    Unwatched.objects.create()
    Session.objects.create(session_key="k", session_data="", expire_date=timezone.now())
    with disable_auditlog(reason="test"):
        Shelf.objects.bulk_create([Shelf(name="a")])
    assert [label for label, _, _ in heard()] == ["samples.unwatched", "sessions.session", "samples.shelf"]


def test_inserted_instances_are_named() -> None:
    named: list[str] = []

    def listen(instances: list[Shelf], **_kwargs: Any) -> None:
        named.extend(shelf.name for shelf in instances)

    table_written.connect(listen, sender=Shelf)
    try:
        Shelf.objects.bulk_create([Shelf(name="a"), Shelf(name="b")])
    finally:
        table_written.disconnect(listen, sender=Shelf)
    assert named == ["a", "b"]


def test_i8_a_receiver_that_raises_harms_no_write(events: Events) -> None:
    def fail(**_kwargs: Any) -> None:
        raise ZeroDivisionError

    table_written.connect(fail, sender=Shelf)
    try:
        shelf = Shelf.objects.create(name="a")
    finally:
        table_written.disconnect(fail, sender=Shelf)
    assert [(event["op"], event["after"]["name"]) for event in events()] == [("c", "a")]
    assert Shelf.objects.get() == shelf
