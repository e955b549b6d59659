"""Whom events are about, and where they belong, travels with them: by column, or by value where there are no images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import models
from django.db.models import F

from auditlog.events import record, record_access
from auditlog.registry import auditlog
from tests.conftest import Events
from tests.samples.models import Book, Club, Country, Edition, IndexCard, Measured, Reader, Stamp, Ticket

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]
NAMES = ("is_subject", "subject_columns", "label_columns", "subjects", "labels")


@contextmanager
def registered(model: type[models.Model], **options: Any) -> Iterator[None]:
    """Register a model of the samples for a while in another way."""
    before = auditlog.contains(model)
    auditlog.register(model, **options)
    try:
        yield
    finally:
        auditlog.unregister(model)
        if before:
            auditlog.register(model)


def named(event: dict[str, Any]) -> dict[str, Any]:
    """Return what an event says of subjects and labels."""
    return {name: event["audit"][name] for name in NAMES if name in event["audit"]}


def test_events_of_rows_say_which_columns_name_subjects_and_labels(events: Events) -> None:
    first, other = Ticket.objects.create(title="first"), Ticket.objects.create(title="other")
    with registered(Ticket, subject=True, subject_fields=["parent"], label_fields={"desk": "title", "hall": "title"}):
        child = Ticket.objects.create(parent=first, title="a")
        child.parent = other
        child.save()
        Ticket.objects.filter(pk=child.pk).update(title="b")
        child.delete()
    plain, _, created, moved, updated, deleted = events()
    assert named(plain) == {}
    declared = {
        "is_subject": True,
        "subject_columns": {"parent_id": "samples.ticket"},
        "label_columns": {"desk": "title", "hall": "title"},
    }
    assert [named(event) for event in (created, moved, updated, deleted)] == [declared] * 4
    assert (moved["before"]["parent_id"], moved["after"]["parent_id"]) == (str(first.pk), str(other.pk))
    # Whoever remembers a version knows the columns that name something.
    assert plain["audit"]["schema_version"] != created["audit"]["schema_version"]


def test_the_version_of_the_others_stays_what_it_was(events: Events) -> None:
    Ticket.objects.create()
    with registered(Ticket, subject=True):
        Ticket.objects.create()
    plain, subject = events()
    assert plain["audit"]["schema_version"] == subject["audit"]["schema_version"]


def test_a_snapshot_says_it_too(events: Events) -> None:
    Ticket.objects.create()
    events()
    with registered(Ticket, subject=True, subject_fields=["parent"]):
        call_command("audit_snapshot", "samples.Ticket", "--json", stdout=StringIO())
    (event,) = events()
    assert named(event) == {"is_subject": True, "subject_columns": {"parent_id": "samples.ticket"}}


def test_a_membership_is_about_its_owner_alone(events: Events) -> None:
    club, reader = Club.objects.create(name="c"), Reader.objects.create(card="A")
    with registered(Club, subject=True, label_fields={"house": "name"}):
        events()
        club.members.add(reader)
    (event,) = events()
    assert event["audit"]["action"] == "m2m.add"
    assert named(event) == {"is_subject": True}


def test_an_event_without_images_names_what_the_instance_holds(events: Events) -> None:
    parent = Ticket.objects.create()
    child = Ticket.objects.create(parent=parent, title="a")
    events()
    with registered(Ticket, subject=True, subject_fields=["parent"], label_fields={"desk": "title"}):
        record(child, action="sold")
        record_access(parent)
    sold, seen = events()
    told = {"is_subject": True, "subjects": [f"samples.ticket:{parent.pk}"], "labels": ["desk:a"]}
    assert named(sold) == told
    # No parent; a label that is empty is no label.
    assert named(seen) == {"is_subject": True}


def test_an_event_without_images_says_of_which_classes_its_names_are(events: Events) -> None:
    child = Ticket.objects.create(parent=Ticket.objects.create(), title="a")
    events()
    with registered(Ticket, subject_fields=["parent"], classify_fields={"parent": "health", "title": "public"}):
        record_access(child)
    (seen,) = events()
    assert seen["audit"]["classes"] == {"health": ["parent_id", "parent"]}


def test_what_the_instance_has_not_loaded_or_the_database_works_out_is_not_asked_for(
    events: Events, django_assert_num_queries: Any
) -> None:
    parent = Ticket.objects.create()
    pk = Ticket.objects.create(parent=parent, title="a").pk
    deferred, expressed = Ticket.objects.only("id").get(pk=pk), Ticket.objects.get(pk=pk)
    expressed.title = F("title")
    events()
    with registered(Ticket, object_repr=None, subject_fields=["parent"], label_fields={"desk": "title"}):
        record_access(expressed)
        with django_assert_num_queries(1):
            record_access(deferred)
    partly, not_at_all = events()
    assert named(partly) == {"subjects": [f"samples.ticket:{parent.pk}"]}
    assert named(not_at_all) == {}


def test_keys_are_named_as_the_database_has_them(events: Events) -> None:
    parent = Ticket.objects.create()
    child = Ticket(parent_id=parent.pk.hex.upper())
    child.save()
    with registered(Ticket, subject_fields=["parent"]):
        record(child, action="sold")
        child.parent_id = "no key"
        record(child, action="sold")
    _, _, sold, confused = events()
    assert named(sold) == {"subjects": [f"samples.ticket:{parent.pk}"]}
    assert named(confused) == {}


def test_i9_a_masked_or_sealed_value_is_named_nowhere(events: Events) -> None:
    country = Country.objects.create(code="XX", name="x")
    edition = Edition.objects.create(printed_in=country, sold_in=country)
    measured = Measured.objects.create(sealed="plain text")
    events()
    labels = {"label_fields": {"country": "sold_in"}, "subject_fields": ["printed_in", "sold_in"]}
    with registered(Edition, mask_fields=["printed_in"], exclude_fields=["sold_in"], **labels):
        Edition.objects.filter(pk=edition.pk).update(printed_in=country)
        edition.save()
        record(edition, action="sold")
    with registered(Measured, label_fields={"seal": "sealed"}):
        record(measured, action="opened")
    *others, opened = events()
    assert [named(event) for event in others] == [{}] * len(others)
    assert others[-1]["audit"]["action"] == "sold"
    assert named(opened) == {"labels": ["seal:cGxhaW4gdGV4dA=="]}


def test_a_reference_to_a_key_that_is_a_reference_names_the_model_between(events: Events) -> None:
    card = IndexCard.objects.create(book=Book.objects.create(title="Emma"))
    events()
    with registered(Stamp, subject_fields=["card"]):
        record(Stamp.objects.create(card=card), action="licked")
    created, licked = events()
    assert named(created) == {"subject_columns": {"card_id": "samples.indexcard"}}
    assert named(licked) == {"subjects": [f"samples.indexcard:{card.pk}"]}
