"""What only Python knows of an object lands on the writes of that object, and on no other."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models.signals import ModelSignal, post_save, pre_delete, pre_save

from auditlog.frames import current_frames
from tests.conftest import Events
from tests.samples.models import Book, Comic, Country, Genre, OrderLine, Shelf, Ticket

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


@contextmanager
def receiving(signal: ModelSignal, sender: Any, receiver: Any, *, first: bool = False) -> Iterator[None]:
    """Connect a receiver for the length of a block; after ours unless it is to be the first."""
    signal.connect(receiver, sender=sender)
    if first:
        signal.receivers.insert(0, signal.receivers.pop())
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


def reprs(events: Events) -> list[tuple[str, str, str | None]]:
    """Return (action, key, text) of the events since the last call."""
    return [(e["audit"]["action"], e["audit"]["object_pk"], e["audit"]["object_repr"]) for e in events()]


def test_an_event_says_what_its_object_was_called(events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    shelf.name = "B"
    shelf.save()
    Shelf.objects.update(name="C")
    shelf.delete()
    actions = [(action, text) for action, _, text in reprs(events)]
    assert actions == [("create", "shelf A"), ("update", "shelf B"), ("update", None), ("delete", "shelf B")]


def test_the_key_that_an_insert_makes_is_part_of_djangos_own_text(events: Events) -> None:
    genre = Genre.objects.create(name="novel")
    assert reprs(events) == [("create", str(genre.pk), f"Genre object ({genre.pk})")]


def test_i8_a_text_that_cannot_be_had_fails_no_save(events: Events) -> None:
    shelf = Shelf.objects.create(name="raise")
    Shelf.objects.create(name="\x01 line\nbreak").delete()
    assert shelf.pk
    assert [text for *_, text in reprs(events)] == [None, *["shelf \ufffd line\nbreak"] * 2]


def test_a_frame_of_a_failing_save_lands_nowhere(events: Events) -> None:
    Genre.objects.create(name="novel")
    other = Genre.objects.create(name="essay")
    events()
    other.name = "novel"
    with pytest.raises(IntegrityError):
        other.save()
    assert current_frames().of_label("samples.genre") == []
    Genre.objects.filter(pk=other.pk).update(name="play")
    assert reprs(events) == [("update", str(other.pk), None)]


def test_a_frame_of_a_save_that_a_receiver_stopped_lands_nowhere(events: Events) -> None:
    country = Country.objects.create(code="CH", name="Suisse")
    events()

    def stop(**_kwargs: Any) -> None:
        raise RuntimeError

    country.name = "stopped"
    with receiving(pre_save, Country, stop), pytest.raises(RuntimeError):
        country.save()
    again = Country.objects.get()
    again.name = "Schweiz"
    again.save()
    assert [(action, key) for action, key, _ in reprs(events)] == [("update", "CH")]
    del country
    gc.collect()
    assert current_frames().of_label("samples.country") == []


def test_a_frame_whose_write_a_receiver_followed_with_an_error_is_forgotten(events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    events()

    def stop(**_kwargs: Any) -> None:
        raise RuntimeError

    shelf.name = "B"
    with receiving(post_save, Shelf, stop, first=True), pytest.raises(RuntimeError):
        shelf.save()
    Shelf.objects.create(name="other")
    Shelf.objects.filter(pk=shelf.pk).update(name="C")
    assert [text for *_, text in reprs(events)] == ["shelf B", "shelf other", None]
    assert current_frames().of_label("samples.shelf") == []


def test_a_receiver_that_saves_something_else_frames_it_apart(events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    other = Shelf.objects.create(name="other")
    events()

    def save_other(instance: Shelf, **_kwargs: Any) -> None:
        if instance.pk == shelf.pk:
            other.name += "!"
            other.save()
            Shelf.objects.create(name="new")

    shelf.name = "B"
    with receiving(pre_save, Shelf, save_other), receiving(post_save, Shelf, save_other):
        shelf.save()
    assert [text for *_, text in reprs(events)] == [
        "shelf other!",
        "shelf new",
        "shelf B",
        "shelf other!!",
        "shelf new",
    ]


def test_an_object_saved_again_while_it_is_saved_is_captured_twice(events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    events()

    def save_again(instance: Shelf, **_kwargs: Any) -> None:
        if instance.name == "B":
            twin = Shelf.objects.get(pk=instance.pk)
            twin.name = "twin"
            twin.save()

    shelf.name = "B"
    with receiving(pre_save, Shelf, save_again):
        shelf.save()
    assert [text for *_, text in reprs(events)] == ["shelf twin", "shelf B"]


def test_each_row_of_a_large_cascade_has_its_own_text(events: Events) -> None:
    parent = Ticket.objects.create(title="parent")
    children = Ticket.objects.bulk_create(Ticket(parent=parent, title=str(n)) for n in range(250))
    wanted = {str(ticket.pk): f"ticket {ticket.title}" for ticket in (parent, *children)}
    events()
    parent.delete()
    found = reprs(events)
    assert {key: text for _, key, text in found} == wanted
    assert len(found) == len(wanted)
    assert current_frames().of_label("samples.ticket") == []


def test_a_row_deleted_by_a_receiver_of_the_cascade_is_told_once(events: Events) -> None:
    parent = Ticket.objects.create(title="parent")
    child = Ticket.objects.create(title="child", parent=parent)
    key = str(child.pk)
    events()

    def delete_child(instance: Ticket, **_kwargs: Any) -> None:
        if instance.title == "parent":
            Ticket.objects.filter(pk=key).delete()

    with receiving(pre_delete, Ticket, delete_child):
        parent.delete()
    assert [pk for action, pk, _ in reprs(events) if action == "delete"].count(key) == 1


def test_an_object_with_a_composite_key_says_what_it_is_called(events: Events) -> None:
    line = OrderLine.objects.create(tenant="acme", number=42)
    line.amount = 2
    line.save()
    line.delete()
    texts = [text for *_, text in reprs(events)]
    assert texts == ["OrderLine object (('acme', 42))"] * 3


def test_both_tables_of_an_inherited_object_say_what_it_is_called(events: Events) -> None:
    comic = Comic.objects.create(title="Tintin")
    comic.colour = True
    comic.save()
    comic.delete()
    assert {text for *_, text in reprs(events)} == {"Tintin"}
    assert current_frames().of_label("samples.book") == []
    assert not Book.objects.exists()
