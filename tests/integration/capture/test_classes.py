"""What a field holds travels with the events, changes their schema version, and hides nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from auditlog.registry import auditlog
from auditlog.vocabulary import FieldClass
from tests.conftest import Events
from tests.samples.models import Club, OrderLine, Reader

pytestmark = pytest.mark.django_db(transaction=True)


def test_events_list_their_classified_columns(events: Events, settings: Any) -> None:
    line = OrderLine.objects.create(tenant="a", number=1)
    settings.AUDITLOG_CLASSIFY_TRACKING_FIELDS = {"tenant": "public", "amount": "internal", "ssn": "sensitive"}
    auditlog.register(OrderLine, classify_fields={"amount": FieldClass.FINANCIAL})
    try:
        line.amount = 2
        line.save()
    finally:
        settings.AUDITLOG_CLASSIFY_TRACKING_FIELDS = {}
        auditlog.register(OrderLine)
    plain, classified = (event["audit"] for event in events())
    assert "classes" not in plain
    assert classified["classes"] == {"public": ["tenant"], "financial": ["amount"]}
    # Whoever remembers a version knows the classes that belong to it.
    assert plain["schema_version"] != classified["schema_version"]


def test_a_membership_lists_its_field_and_the_links_own(events: Events) -> None:
    club, reader = Club.objects.create(name="c"), Reader.objects.create(card="A")
    auditlog.register(Club, classify_fields={"members": "personal", "role": "internal"})
    try:
        events()
        club.members.add(reader)
    finally:
        auditlog.register(Club)
    (event,) = events()
    assert event["audit"]["classes"] == {"personal": ["members"], "internal": ["role"]}
    assert event["audit"]["m2m"]["through"] == {str(reader.pk): {"role": "member"}}


def test_passwords_are_credentials_unless_told_otherwise(events: Events) -> None:
    get_user_model().objects.create_user("ada")
    (event,) = events()
    assert event["audit"]["classes"]["credential"] == ["password"]
    assert "username" in event["audit"]["classes"]["personal"]
