"""Values of restricted classes are in no part of what a caller gets who may not see them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.access.redaction import hidden_names, redacted
from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.checks import check_restricted_classes
from auditlog.large_values import references
from auditlog.models import AuditLog
from auditlog.vocabulary import FieldClass

NAMES = ("ssn", "ssn_id", "notes", "phone", "name", "members")
PARTS = ("changes", "before", "after", "m2m", "data")
CLERK = Rights("user:1", frozenset({Scope.READ}))
OFFICER = Rights("user:2", frozenset({Scope.READ, Scope.READ_SENSITIVE}))
SECRET, OPEN = "hidden-", "open-"


def event_of(**columns: Any) -> AuditLog:
    """Return an event that is in no table."""
    return AuditLog(event_id=uuid.UUID(int=1), occurred_at=datetime(2026, 11, 25, tzinfo=UTC), **columns)


def answered(event: AuditLog) -> dict[str, Any]:
    """Return the parts of an event that hold values."""
    return {part: getattr(event, part) for part in PARTS}


def test_values_of_restricted_classes_are_replaced_and_named() -> None:
    event = event_of(
        classes={"sensitive": ["ssn"], "health": ["patient_id", "patient"], "public": ["name"]},
        changes={"ssn": [None, "1"], "patient": [4, 5], "name": ["a", "b"]},
        before=None,
        after={"id": 7, "ssn": "1", "patient_id": 5, "name": "b"},
        data={"name": "b", "checks": [{"ssn": "1", "passed": True}]},
    )

    shown = redacted(event, CLERK)

    ssn, patient = {"$redacted": "sensitive"}, {"$redacted": "health"}
    assert answered(shown) == {
        "changes": {"ssn": [ssn, ssn], "patient": [patient, patient], "name": ["a", "b"]},
        "before": None,
        "after": {"id": 7, "ssn": ssn, "patient_id": patient, "name": "b"},
        "m2m": None,
        "data": {"name": "b", "checks": [{"ssn": ssn, "passed": True}]},
    }
    assert shown.redacted == ("patient", "patient_id", "ssn")
    assert answered(event)["after"]["ssn"] == "1"


def test_a_membership_of_a_restricted_field_says_only_that_it_changed() -> None:
    m2m = {
        "field": "members",
        "target_model": "x.y",
        "added": ["3"],
        "removed": [],
        "through": None,
        "labels": {"3": "A"},
    }
    event = event_of(classes={"health": ["members"]}, m2m=m2m)

    mark = {"$redacted": "health"}
    assert redacted(event, CLERK).m2m == {
        "field": "members",
        "target_model": "x.y",
        "added": mark,
        "removed": mark,
        "through": None,
        "labels": mark,
    }


def test_a_restricted_field_of_a_link_is_replaced_in_each_link() -> None:
    m2m = {"field": "members", "target_model": "x.y", "added": ["3"], "removed": [], "labels": None}
    event = event_of(classes={"financial": ["fee"]}, m2m={**m2m, "through": {"3": {"fee": "9", "since": "2026"}}})

    through = answered(redacted(event, CLERK))["m2m"]["through"]
    assert through == {"3": {"fee": {"$redacted": "financial"}, "since": "2026"}}


def test_a_reference_to_a_large_value_goes_with_the_value() -> None:
    reference = {"$ref": "a" * 64, "bytes": 70_000}
    event = event_of(classes={"health": ["notes"]}, after={"notes": reference}, data=reference)

    shown = redacted(event, CLERK)
    assert list(references(before=shown.before, after=shown.after, m2m=shown.m2m, data=shown.data)) == []
    assert shown.redacted == ("data", "notes")


@pytest.mark.parametrize("classes", [None, {}, {"personal": ["phone"]}])
def test_an_event_without_restricted_values_is_answered_as_it_is(classes: Any) -> None:
    event = event_of(classes=classes, after={"phone": "1"})

    assert redacted(event, CLERK) is event
    assert event.redacted == ()


def test_who_may_see_sensitive_values_gets_all_of_them() -> None:
    event = event_of(classes={kind.value: [f"f_{kind}"] for kind in FieldClass}, after={})

    assert hidden_names(event, OFFICER) == {}
    assert redacted(event, OFFICER) is event


def test_a_project_decides_which_classes_are_restricted(settings: Any) -> None:
    settings.AUDITLOG_RESTRICTED_CLASSES = ["personal"]
    event = event_of(classes={"personal": ["phone"], "health": ["notes"]}, after={"phone": "1", "notes": "n"})

    assert redacted(event, CLERK).after == {"phone": {"$redacted": "personal"}, "notes": "n"}


@pytest.mark.parametrize(
    ("classes", "subjects", "labels"),
    [
        ({"health": ["patient_id", "patient", "$subjects"]}, ["$redacted:health"], ["department:3"]),
        ({"sensitive": ["department", "$labels"]}, ["doctors.patient:42"], ["$redacted:sensitive"]),
        ({"health": ["patient", "notes"], "public": ["$subjects"]}, ["doctors.patient:42"], ["department:3"]),
    ],
)
def test_whom_an_event_is_about_and_where_it_belongs_is_hidden_with_the_fields_that_say_so(
    classes: Any, subjects: list[str], labels: list[str]
) -> None:
    """By what the event says, whatever its model is registered with today, and whether there still is one."""
    event = event_of(model="gone.visit", classes=classes, subjects=["doctors.patient:42"], labels=["department:3"])

    shown = redacted(event, CLERK)
    assert (shown.subjects, shown.labels) == (subjects, labels)
    assert set(shown.redacted) == {name for name in ("subjects", "labels") if "$" in getattr(shown, name)[0]}
    seen = redacted(event, OFFICER)
    assert (seen.subjects, seen.labels) == (["doctors.patient:42"], ["department:3"])


classes_of = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([kind.value for kind in FieldClass]))


def values(draw: st.DrawFn, hidden: Mapping[str, str], names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """Return an image: what is to be hidden says so itself, at any depth."""
    chosen = draw(st.sets(st.sampled_from(names)))

    def value(name: str) -> Any:
        token = f"{SECRET if name in hidden else OPEN}{draw(st.integers(0, 10**9))}"
        return draw(st.sampled_from([token, [token], {"x": {"y": token}}, {"$ref": token, "bytes": 9}]))

    return {name: value(name) for name in sorted(chosen)}


@st.composite
def events(draw: st.DrawFn) -> AuditLog:
    """Return an event of any shape."""
    classes = draw(classes_of)
    hidden = {name: kind for name, kind in classes.items() if kind in CLERK.hidden_classes}
    by_class: dict[str, list[str]] = {}
    for name, kind in classes.items():
        by_class.setdefault(kind, []).append(name)
    before, after = (draw(st.sampled_from([None, values(draw, hidden)])) for _ in range(2))
    changes = {name: [value, value] for name, value in values(draw, hidden).items()}
    token = SECRET if "members" in hidden else OPEN
    member = f"{token}{draw(st.integers(0, 10**9))}"
    own = {member: values(draw, hidden, ("ssn", "name"))} if draw(st.booleans()) else None
    m2m = {"field": "members", "target_model": "x.y", "added": [member], "removed": [], "through": own, "labels": None}
    data = {"facts": [values(draw, hidden)], **values(draw, hidden)}
    return event_of(
        classes=by_class or None,
        changes=changes,
        before=before,
        after=after,
        m2m=draw(st.sampled_from([None, m2m])),
        data=draw(st.sampled_from([None, data])),
    )


@given(events())
def test_no_hidden_value_is_anywhere_in_the_answer_and_every_open_one_is(event: AuditLog) -> None:
    shown = json.dumps(answered(redacted(event, CLERK)))
    everything = json.dumps(answered(redacted(event, OFFICER)))

    assert SECRET not in shown
    assert everything == json.dumps(answered(event))
    if not (event.m2m and "members" in hidden_names(event, CLERK)):
        assert shown.count(OPEN) == everything.count(OPEN)


def test_a_restricted_class_that_does_not_exist_is_an_error(settings: Any) -> None:
    settings.AUDITLOG_RESTRICTED_CLASSES = ["health", "helth"]

    (error,) = check_restricted_classes()
    assert (error.id, "'helth'" in error.msg) == ("auditlog.E020", True)
