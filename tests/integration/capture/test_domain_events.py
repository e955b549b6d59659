"""Events that are no row change: in the words of the domain, and who looked at what."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from auditlog import topics
from auditlog.context import set_actor, set_extra_data, set_reason
from auditlog.errors import NotRegistered
from auditlog.events import record, record_access
from auditlog.vocabulary import Category
from tests.conftest import ConnectAs, Events
from tests.samples.models import Book, BookProxy, OrderLine, Unwatched

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def test_a_domain_event_has_the_shape_of_the_contract(events: Events, connect_as: ConnectAs) -> None:
    book, user = Book.objects.create(title="Emma"), get_user_model().objects.create_user("ada")
    events()
    with set_reason("context"):
        event_id = record(book, action="lent", actor=user, data={"previous": False, "fee": Decimal("1.50")})
    (event,) = events()
    audit = event["audit"]
    assert (event["op"], event["before"], event["after"], event["transaction"]) == ("m", None, None, None)
    assert audit["event_id"] == str(event_id)
    assert {name: audit[name] for name in ("action", "category", "model", "object_pk", "object_repr", "data")} == {
        "action": "lent",
        "category": "write",
        "model": "samples.book",
        "object_pk": str(book.pk),
        "object_repr": "Emma",
        "data": {"previous": False, "fee": "1.50"},
    }
    assert audit["actor"] == {"id": str(user.pk), "repr": "ada", "type": "user", "on_behalf_of": None}
    assert audit["reason"] == "context"
    found = connect_as("auditlog_owner").execute(
        "SELECT topic, key, event_type FROM auditlog_outboxevent ORDER BY id DESC LIMIT 1"
    )
    topic = topics.events_topic("samples.book")
    assert found.fetchone() == (topic, str(book.pk), "auditlog.samples.book.lent.v1")
    assert topic == f"{topics.prefix()}.samples.book.events"


def test_i1_a_domain_event_shares_the_fate_of_its_transaction(events: Events) -> None:
    book = Book.objects.create(title="Emma")
    events()
    with transaction.atomic():
        record(book, action="lent")
        transaction.set_rollback(True)
    assert events() == []
    record(BookProxy.objects.get(), action="lent")
    assert [event["audit"]["model"] for event in events()] == ["samples.book"]


def test_an_access_is_a_read(events: Events) -> None:
    line = OrderLine.objects.create(tenant="acme", number=42)
    events()
    with set_actor("viewer"):
        record_access(line, reason="treatment")
    (event,) = events()
    audit = event["audit"]
    assert (audit["action"], audit["category"], audit["reason"]) == ("access", Category.READ, "treatment")
    assert audit["object_pk"] == '["acme",42]'
    assert audit["actor"]["repr"] == "viewer"


def test_i8_data_that_json_or_postgres_cannot_hold_is_made_to_fit(events: Events) -> None:
    book = Book.objects.create(title="nul\ufffd")
    data: dict[str, Any] = {"a\x00b": ["\x00", "\ud800", float("nan"), {1}, b"bytes"], "big": 2**70}
    with set_extra_data({"k\x00": "\ud83d half"}), set_reason("why\x00"), set_actor("who\x00"):
        record(book, action="odd\x00", data=data)
    event = events()[-1]
    assert event["audit"]["action"] == "odd\ufffd"
    assert event["audit"]["reason"] == "why\ufffd"
    assert event["audit"]["actor"]["repr"] == "who\ufffd"
    assert event["audit"]["data"]["big"] == 2**70
    assert event["audit"]["data"]["a\ufffdb"][:4] == ["\ufffd", "?", None, [1]]


def test_what_cannot_be_recorded_is_said() -> None:
    with pytest.raises(NotRegistered, match="Unwatched"):
        record(Unwatched.objects.create(), action="x")
    with pytest.raises(ValueError, match="saved"):
        record(Book(title="new"), action="x")
