"""What is not audited on purpose is a gap that says who made it, and why."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from auditlog import topics
from auditlog.context import disable_auditlog, set_actor
from auditlog.events import record
from tests.conftest import ConnectAs, Events
from tests.samples.models import Book, Genre

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def gaps(events: list[dict[str, Any]]) -> list[str]:
    """Return the models that events say go uncaptured; there must be no other events."""
    assert {event["audit"]["action"] for event in events} <= {"auditing_disabled"}
    return [event["audit"]["data"]["model"] for event in events]


def test_nothing_is_captured_in_a_block_that_disables_it_but_the_gap(events: Events, connect_as: ConnectAs) -> None:
    book = Book.objects.create(title="Emma")
    events()
    with set_actor("m.okonkwo"), disable_auditlog(reason="bulk repair"):
        book.title = "Emma II"
        book.save()
        Book.objects.update(quantity=2)
        book.genres.add(Genre.objects.create(name="novel"))
        assert record(book, action="lent") is None
    told = events()
    assert sorted(gaps(told)) == ["samples.book", "samples.book_genres", "samples.genre"]
    audit = told[0]["audit"]
    assert (audit["model"], audit["category"], audit["reason"]) == ("auditlog.system", "security", "bulk repair")
    assert audit["actor"]["repr"] == audit["object_pk"] == "m.okonkwo"
    row = connect_as("auditlog_owner").execute("SELECT topic, key FROM auditlog_outboxevent ORDER BY id DESC LIMIT 1")
    assert row.fetchone() == (topics.system_topic(), "m.okonkwo")
    Book.objects.update(quantity=3)
    (event,) = events()
    assert (event["before"]["quantity"], event["before"]["title"]) == (2, "Emma II")


def test_a_gap_is_told_wherever_it_committed_and_nowhere_else(events: Events) -> None:
    with disable_auditlog():
        with transaction.atomic():
            Genre.objects.create(name="lost")
            transaction.set_rollback(True)
        assert gaps(events()) == []
        with transaction.atomic():
            with transaction.atomic():
                Genre.objects.create(name="lost")
                transaction.set_rollback(True)
            Genre.objects.create(name="kept")
            with transaction.atomic():
                Genre.objects.create(name="kept too")
        assert gaps(events()) == ["samples.genre"]
        Genre.objects.create(name="later")
        assert gaps(events()) == []
    with disable_auditlog():
        Genre.objects.create(name="another block")
    assert gaps(events()) == ["samples.genre"]


def test_a_block_without_a_write_is_no_gap(events: Events) -> None:
    with disable_auditlog(reason="nothing"):
        assert not Book.objects.exists()
    assert events() == []
