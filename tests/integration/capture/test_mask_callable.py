"""Masks that only the application can make: the same events, by a second statement of the same transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, JSONField, Value

from auditlog.errors import RegistrationError
from auditlog.registry import auditlog
from tests.conftest import Events
from tests.samples.models import Book, Comic, Country

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def last_two(value: str) -> str:
    """Show the end of a value; fail for one."""
    if value == "unmaskable-plain":
        raise RuntimeError(value)
    return "*" * (len(value) - 2) + value[-2:]


@pytest.fixture
def masked(transactional_db: None) -> Iterator[None]:
    """Let two models of the samples have masks of their own for the length of a test."""
    path = f"{__name__}.last_two"
    auditlog.register(
        Book, mask_fields=["title", "quantity", "note"], mask_callable=path, exclude_fields=["updated_at"]
    )
    auditlog.register(Country, mask_fields=["name"], mask_callable=last_two)
    yield
    auditlog.register(Country)
    auditlog.register(Book, exclude_fields=["draft"], mask_fields={"secret": "full", "code": "hash"}, m2m_labels=True)


def told(events: Events) -> list[tuple[Any, ...]]:
    """Return (op, before, after, changed masked columns) of the masked titles."""
    return [
        (e["op"], (e["before"] or {}).get("title"), (e["after"] or {}).get("title"), e["audit"]["masked_changed"])
        for e in events()
        if e["audit"]["model"] == "samples.book"
    ]


@pytest.mark.usefixtures("masked")
def test_every_write_has_the_masks_that_the_function_makes(events: Events) -> None:
    book = Book.objects.create(title="Emma", quantity=12345, note=None)
    book.title = "Persuasion"
    book.save()
    book.save()
    assert Book.objects.update(title="Sanditon", quantity=F("quantity") + 1) == 1
    made = Book.objects.bulk_create([Book(title="ab", note={"a": 1}), Book(title="cd")])
    assert all(row.pk for row in made)
    Book.objects.filter(pk=made[0].pk).delete()
    created, *rest = events()
    assert (created["after"]["title"], created["after"]["quantity"], created["after"]["note"]) == (
        "**ma",
        "***45",
        None,
    )
    assert created["after"]["double"] == 24690
    assert created["audit"]["masked"] == ["title", "quantity", "note"]
    assert created["audit"]["object_repr"] == "Emma"
    saved, updated, one, two, deleted = rest
    assert (saved["before"]["title"], saved["after"]["title"]) == ("**ma", "********on")
    assert saved["audit"]["masked_changed"] == ["title"]
    assert (updated["after"]["quantity"], updated["audit"]["masked_changed"]) == ("***46", ["title", "quantity"])
    assert (one["after"]["note"], two["after"]["note"]) == ("******1}", None)
    assert (deleted["op"], deleted["before"]["title"], deleted["after"]) == ("d", "ab", None)


@pytest.mark.usefixtures("masked")
def test_json_reaches_the_function_as_it_stands_in_the_column(events: Events) -> None:
    Book.objects.create(title="ab", note={"$ref": 1})
    Book.objects.create(title="ab", note=Value(None, JSONField()))
    assert [event["after"]["note"] for event in events()] == ["*********1}", "**ll"]


@pytest.mark.usefixtures("masked")
def test_inherited_tables_and_conflicts_keep_their_events_apart(events: Events) -> None:
    comic = Comic.objects.create(title="Tintin")
    Comic.objects.filter(pk=comic.pk).update(title="Asterix", colour=True)
    models = [event["audit"]["model"] for event in events()]
    assert sorted(models) == ["samples.book"] * 2 + ["samples.comic"] * 2
    Country.objects.create(code="CH", name="Suisse")
    rows = [Country(code="CH", name="Schweiz"), Country(code="FR", name="France")]
    Country.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["name"])
    changes = [(e["op"], e["audit"]["object_pk"], (e["after"] or {}).get("name")) for e in events()]
    assert changes == [("c", "CH", "****se"), ("u", "CH", "*****iz"), ("c", "FR", "****ce")]


@pytest.mark.usefixtures("masked")
def test_i9_a_function_that_fails_masks_in_full(
    events: Events, caplog: pytest.LogCaptureFixture, owner_connection: psycopg.Connection[Any]
) -> None:
    Book.objects.create(title="unmaskable-plain")
    assert told(events) == [("c", None, "***", [])]
    assert "plain" not in caplog.text
    assert "capture.mask_failed" in caplog.text
    rows = owner_connection.execute("SELECT value FROM auditlog_outboxevent").fetchall()
    # The text of the object is not masked: it is the application's to choose.
    assert [value.count("unmaskable-plain") for (value,) in rows] == [1]


@pytest.mark.usefixtures("masked")
def test_i1_both_statements_commit_or_neither(events: Events, owner_connection: psycopg.Connection[Any]) -> None:
    Country.objects.create(code="CH", name="Suisse")
    with transaction.atomic():
        Country.objects.update(name="lost")
        transaction.set_rollback(True)
    with pytest.raises(IntegrityError):
        Country.objects.bulk_create([Country(code="AT", name="x"), Country(code="CH", name="y")])
    owner_connection.execute("ALTER TABLE auditlog_outboxevent ADD CONSTRAINT refuse CHECK (false) NOT VALID")
    try:
        with pytest.raises(DatabaseError):
            Country.objects.create(code="FR", name="France")
        with pytest.raises(DatabaseError):
            Country.objects.update(name="France")
    finally:
        owner_connection.execute("ALTER TABLE auditlog_outboxevent DROP CONSTRAINT refuse")
    assert list(Country.objects.values_list("code", "name")) == [("CH", "Suisse")]
    assert len(events()) == 1


def test_a_function_that_is_not_there_is_named() -> None:
    with pytest.raises(RegistrationError, match=r"no\.such"):
        auditlog.register(Country, mask_fields=["name"], mask_callable="no.such.function")
