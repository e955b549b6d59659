"""I9: a masked value is in no event, while whether it changed, and with a hash whether it is equal, can be seen."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from auditlog.context import set_extra_data
from auditlog.registry import auditlog
from tests.conftest import Events
from tests.samples.models import Book, Loan, Reader, Shelf, Unwatched

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

SECRET = "plain-4111111111111111"


def masked(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return the images of the masked columns, and which are said to have changed."""
    sides = [None if image is None else (image["secret"], image["code"]) for image in (event["before"], event["after"])]
    return *sides, event["audit"]["masked_changed"]


def test_i9_no_plain_value_leaves_the_table(events: Events, owner_connection: psycopg.Connection[Any]) -> None:
    book = Book.objects.create(title="Emma", secret=SECRET, code=SECRET)
    book.secret = SECRET + "x"
    book.save()
    Book.objects.filter(secret__startswith=SECRET).update(code=SECRET + "y")
    Book.objects.bulk_create([Book(title="x", secret=SECRET)])
    Book.objects.all().delete()
    everything = owner_connection.execute("SELECT o::text FROM auditlog_outboxevent o").fetchall()
    assert len(everything) == 6
    assert not any(SECRET in row for (row,) in everything)


def test_masks_tell_null_change_and_with_a_hash_equality(events: Events) -> None:
    one = Book.objects.create(title="one", secret=SECRET, code="same")
    two = Book.objects.create(title="two", code="same")
    one.secret, two.code = "other", "different"
    one.save()
    two.save()
    one.save()
    created, second, changed, rehashed, untouched = events()
    assert created["audit"]["masked"] == ["secret", "code"]
    none, (star, digest), nothing = masked(created)
    assert (none, star, nothing) == (None, "***", [])
    assert digest.startswith("hmac:")
    assert len(digest) == len("hmac:") + 64
    assert masked(second) == (None, (None, digest), [])
    assert masked(changed) == (("***", digest), ("***", digest), ["secret"])
    before, after, columns = masked(rehashed)
    assert (before, after[0], columns) == ((None, digest), None, ["code"])
    assert after[1] not in {digest, None}
    assert masked(untouched)[2] == []


def test_i9_the_hash_has_a_key_that_the_application_cannot_read(events: Events) -> None:
    with connection.cursor() as cursor, pytest.raises(Exception, match="permission denied"):
        cursor.execute("SELECT * FROM auditlog_secret")
    Book.objects.create(title="Emma", code="same")
    ((_, (_, digest), _),) = map(masked, events())
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'hmac:' || encode(sha256('same'), 'hex')")
        assert cursor.fetchone() != (digest,)


def test_excluded_fields_are_in_no_image_and_passwords_are_masked_by_default(events: Events) -> None:
    Book.objects.create(title="Emma", draft=SECRET)
    user = get_user_model().objects.create_user("ada", password=SECRET)
    user.set_password("another")
    user.save()
    book, created, changed = events()
    assert "draft" not in book["after"]
    assert created["after"]["password"] == "***"
    assert changed["audit"]["masked_changed"] == ["password"]
    assert "last_login" not in created["after"]


def test_masks_and_exclusions_for_all_models_come_from_the_settings(events: Events, settings: Any) -> None:
    settings.AUDITLOG_MASK_TRACKING_FIELDS = ["value"]
    auditlog.register(Unwatched)
    try:
        Unwatched.objects.create(value=7)
        settings.AUDITLOG_MASK_TRACKING_FIELDS, settings.AUDITLOG_EXCLUDE_TRACKING_FIELDS = [], ["value"]
        auditlog.register(Unwatched)
        row = Unwatched.objects.create(value=8)
    finally:
        auditlog.unregister(Unwatched)
    Unwatched.objects.create(value=9)
    hidden, excluded = events()
    assert hidden["after"]["value"] == "***"
    assert excluded["after"] == {"id": row.pk}


def test_i9_a_link_tells_its_own_fields_with_the_masks_of_its_model(events: Events) -> None:
    auditlog.register(Loan, mask_fields={"since": "hash"})
    try:
        book, reader = Book.objects.create(title="Emma"), Reader.objects.create(card="A")
        Loan.objects.create(book=book, reader=reader, since="2026-01-01")
        auditlog.register(Loan, mask_fields=["since"])
        Loan.objects.update(since="2026-03-03")
        Loan.objects.update(since="2026-03-03")
        auditlog.register(Loan, exclude_fields=["since"])
        Loan.objects.create(book=book, reader=Reader.objects.create(card="B"), since="2026-02-02")
    finally:
        auditlog.unregister(Loan)
    everything = events()
    hidden, excluded = (event["audit"] for event in everything if event["audit"]["action"] == "m2m.add")
    # That a value changed is told, though it looks the same.
    (changed,) = (event["audit"] for event in everything if event["audit"]["action"] == "m2m.update")
    assert changed["m2m"]["through"] == {str(reader.pk): {"since": "***"}}
    assert hidden["m2m"]["through"][str(reader.pk)]["since"].startswith("hmac:")
    assert (hidden["masked"], excluded["masked"], excluded["m2m"]["through"]) == (["since"], [], None)
    assert not any(day in str(everything) for day in ("2026-01-01", "2026-02-02", "2026-03-03"))


def test_facts_given_by_the_application_are_stored_as_they_are_told(events: Events) -> None:
    with set_extra_data(ticket="T-1", amount=1.5):
        Book.objects.create(title="Emma")
    (event,) = events()
    assert event["audit"]["context"]["extra"] == {"ticket": "T-1", "amount": 1.5}


def test_i9_a_column_that_the_running_code_does_not_know_is_in_no_image(
    events: Events, owner_connection: psycopg.Connection[Any]
) -> None:
    shelf = Shelf.objects.create(name="A")
    events()
    owner_connection.execute(f"ALTER TABLE samples_shelf ADD COLUMN added_by_the_next_release text DEFAULT '{SECRET}'")
    try:
        Shelf.objects.update(name="B")
        shelf.delete()
    finally:
        owner_connection.execute("ALTER TABLE samples_shelf DROP COLUMN added_by_the_next_release")
    updated, deleted = events()
    assert updated["before"].keys() == updated["after"].keys() == deleted["before"].keys() == {"id", "name"}
