"""What an object was, for callers from whom some of its values or events are hidden."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog.access import grants
from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.api import states
from auditlog.models import AccessGrant
from auditlog.queries.objects import Subject, difference, state_at
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf
from tests.integration.auditlog_api.lives import ADA, DOCTOR, as_of, at, links, row, setters, snapshot, values

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def reader(*scopes: Scope, **rights: Any) -> Subject:
    """Return the doctor, as somebody sees it who may not see sensitive values."""
    return Subject("doctors.doctor", "17", Rights("user:1", frozenset({Scope.READ, *scopes}), **rights))


CLASSES = {"sensitive": ["ssn", "specialties"]}


def test_values_of_restricted_classes_are_not_shown_and_not_compared(store: Store) -> None:
    """Changed and changed back, or changed to another value: both look the same to who may not see it."""
    made, other, third = ({"id": 17, "ssn": number} for number in "123")
    for pk, last in (("17", made), ("18", third)):
        row(store, 50, None, made, object_pk=pk, classes=Jsonb(CLASSES))
        row(store, 40, made, other, object_pk=pk, classes=Jsonb(CLASSES))
        row(store, 30, other, last, object_pk=pk, classes=Jsonb(CLASSES))
    since, until = NEWEST - timedelta(minutes=45), NEWEST
    shown = []
    for pk in ("17", "18"):
        subject = Subject("doctors.doctor", pk, reader().rights)
        state = state_at(subject, until)
        assert state is not None
        assert state.held is not None
        assert states.shown_values(state.held, state.hidden)["ssn"]["value"] == {"$redacted": "sensitive"}
        assert states.redacted(state.held, state.memberships, state.hidden) == ["ssn"]
        _old, _new, found = difference(subject, since, until)
        change = states.shown_changes(found.changes, state.hidden)["ssn"]
        shown.append((change["old"], change["new"], list(found.changes)))
    assert shown == [({"$redacted": "sensitive"}, {"$redacted": "sensitive"}, ["ssn"])] * 2


def test_links_of_a_restricted_field_are_not_shown(store: Store) -> None:
    row(store, 50, None, ADA)
    event_id = links(store, 40, "m2m.add", added=["3"])
    assert state_at(reader(), NEWEST).memberships["specialties"].hidden is None  # type: ignore[union-attr,index]
    links_of_class(store, 30)
    state = state_at(reader(), NEWEST)
    assert state is not None
    assert states.shown_memberships(state.memberships) == {
        "specialties": {"target_model": "doctors.specialty", "members": None}
    }
    seen = states.shown_memberships(state_at(reader(Scope.READ_SENSITIVE), NEWEST).memberships)  # type: ignore[union-attr]
    assert [one["added_by"]["event_id"] for one in (seen or {})["specialties"]["members"]][:1] == [str(event_id)]


def links_of_class(store: Store, minutes: int) -> None:
    """Store a membership event whose field holds restricted values."""
    m2m = {"field": "specialties", "target_model": "doctors.specialty", "added": ["9"], "removed": []}
    topic = "audit.doctors.doctor.events"
    store(minutes, action="m2m.add", m2m=Jsonb(m2m), changes=None, classes=Jsonb(CLASSES), topic=topic)


def test_callers_who_are_confined_to_labels_are_told_that_links_are_kept_from_them(store: Store) -> None:
    row(store, 50, None, ADA, labels=["department:3"])
    links(store, 40, "m2m.add", added=["3"])
    confined = reader(labels={"department": frozenset({"3"})})
    state = state_at(confined, NEWEST)
    assert state is not None
    assert (state.memberships, states.shown_memberships(state.memberships)) == (None, None)
    assert state_at(reader(labels={"department": frozenset({"4"})}), NEWEST) is None


def test_callers_who_are_confined_to_labels_are_told_that_an_origin_is_unseen(store: Store, user_of: UserOf) -> None:
    clerk = user_of("clerk")
    grants.give(AccessGrant(reason="test", user=clerk, labels=["department:3"]))
    client = APIClient()
    client.force_login(clerk)
    three, four = {**ADA, "department": 3}, {**ADA, "department": 4}
    changed = {**four, "email": "c@x"}
    created = row(store, 50, None, three, labels=["department:3"])
    row(store, 40, three, four, labels=["department:3", "department:4"])
    row(store, 30, four, changed, labels=["department:4"])

    # What came after it left, they do not see.
    left = as_of(client, 25)
    assert (values(left), left["policy_filters"]) == (four, ["labels"])
    back = row(store, 20, changed, {**changed, "department": 3}, labels=["department:3", "department:4"])
    answer = as_of(client, 15)
    assert setters(answer) == {"id": str(created), "email": "unseen", "phone": str(created), "department": str(back)}
    blame = client.get(f"{DOCTOR}blame/", {"at": at(15)}).json()
    assert (setters(blame), blame["policy_filters"]) == (setters(answer), ["labels"])
    diff = client.get(f"{DOCTOR}diff/", {"from": at(45), "to": at(15)}).json()
    email = diff["changes"]["email"]
    assert (email["origin"], email["set_by"], diff["policy_filters"]) == ("unseen", None, ["labels"])
    row(store, 10, changed, None, labels=["department:3", "department:4"])
    gone = client.get(f"{DOCTOR}as-of/").json()
    assert (gone["code"], gone["policy_filters"]) == ("gone", ["labels"])


def test_an_object_that_came_from_outside_of_a_callers_labels_is_not_said_to_be_older_than_its_log(
    store: Store,
) -> None:
    row(store, 50, None, ADA, labels=["department:4"])
    changed = row(store, 40, ADA, {**ADA, "email": "b@x"}, labels=["department:3", "department:4"])
    subject = reader(labels={"department": frozenset({"3"})})
    found = []
    for minutes in (45, 35):
        state = state_at(subject, NEWEST - timedelta(minutes=minutes))
        assert state is not None
        assert state.held is not None
        found.append({name: value.deed.event_id if value.deed else value.origin for name, value in state.held.items()})
    assert found == [dict.fromkeys(ADA, "unseen"), {"id": "unseen", "email": changed, "phone": "unseen"}]


def test_callers_who_are_confined_to_models_see_all_of_an_object(store: Store) -> None:
    row(store, 50, None, ADA)
    snapshot(store, 40, {**ADA, "email": "raw"})
    state = state_at(reader(models=frozenset({"doctors.doctor"})), NEWEST)
    assert state is not None
    assert state.held is not None
    assert state.held["email"].origin == "unrecorded"
