"""What differs between two states, and who is named for it."""

from __future__ import annotations

from typing import Any

from auditlog.queries.differences import Differences, Side, differences
from auditlog.queries.memberships import memberships
from auditlog.queries.provenance import Held, Origin
from tests.unit.auditlog_queries.builders import deed, links


def value(given: Any, number: int | None = None, *, is_opaque: bool = False) -> Held:
    """Return a value that the event with this number set; no event, where there is none."""
    if number is None:
        return Held("column", given, Origin.UNRECORDED, None, is_opaque)
    return Held("column", given, Origin.EVENT, deed(number), is_opaque)


def in_short(found: Differences) -> dict[str, tuple[Any, ...]]:
    """Return (old, new, number of the event) by field name."""
    return {
        name: (change.old, change.new, change.deed.event_id.int if change.deed else None)
        for name, change in found.changes.items()
    }


BEFORE = Side(
    {"title": value("Emma", 1), "price": value(None, 1), "code": value("***", 1, is_opaque=True)}, {}, deed(2)
)


def test_a_field_differs_by_its_values_and_names_who_set_the_later_one() -> None:
    after = Side({"title": value("Emma II", 5), "price": value(None, 1), "code": value("***", 1, is_opaque=True)}, {})
    assert in_short(differences(BEFORE, after)) == {"title": ("Emma", "Emma II", 5)}


def test_what_was_changed_and_changed_back_does_not_differ() -> None:
    after = Side({**(BEFORE.held or {}), "title": value("Emma", 4)}, {})
    assert in_short(differences(BEFORE, after)) == {}


def test_a_masked_field_differs_where_an_event_says_so() -> None:
    after = Side({**(BEFORE.held or {}), "code": value("***", 3, is_opaque=True)}, {})
    assert in_short(differences(BEFORE, after)) == {"code": ("***", "***", 3)}


def test_what_a_caller_may_not_see_differs_whatever_its_values_are() -> None:
    before = Side({"ssn": value("1", 1, is_opaque=True)}, {}, deed(2))
    for later in ("1", "2", None):
        after = Side({"ssn": value(later, 4, is_opaque=True)}, {})
        assert in_short(differences(before, after)) == {"ssn": ("1", later, 4)}
    assert in_short(differences(before, Side({"ssn": value("1", 1, is_opaque=True)}, {}))) == {}


def test_nobody_is_named_for_a_difference_that_no_event_made() -> None:
    after = Side({**(BEFORE.held or {}), "price": value("1.00")}, {})
    assert in_short(differences(BEFORE, after)) == {"price": (None, "1.00", None)}
    origins = [differences(BEFORE, after, is_partial=partial).changes["price"].origin for partial in (False, True)]
    assert origins == [Origin.UNRECORDED, Origin.UNSEEN]


def test_a_created_object_had_nothing_and_a_deleted_one_has_nothing_left() -> None:
    nothing = Side(None, {})
    created = Side({"title": value("Emma", 3), "price": value(None, 3)}, {}, deed(3))
    assert in_short(differences(nothing, created)) == {"title": (None, "Emma", 3)}
    gone = Side(None, {}, deed(9, "delete"))
    assert in_short(differences(created, gone)) == {"title": ("Emma", None, 9)}
    assert differences(nothing, gone).changes == {}


def test_columns_that_come_and_go_are_no_changes_of_values() -> None:
    after = Side({"title": value("Emma", 1), "shelf": value(3)}, {})
    found = differences(BEFORE, after)
    assert (found.changes, found.appeared, found.disappeared) == ({}, ("shelf",), ("price", "code"))


def test_links_differ_by_their_targets_and_by_what_they_say() -> None:
    events = [
        links(1, "m2m.add", added=["3", "4", "5"], through={"4": {"since": None}}),
        links(2, "m2m.remove", removed=["3"]),
        links(3, "m2m.add", added=["6"]),
        links(4, "m2m.update", through={"4": {"since": "2026-01-01"}}),
    ]
    before, after = memberships(events[:1]), memberships(events)
    found = differences(Side({}, before, deed(1)), Side({}, after, deed(4))).memberships["genres"]
    assert [member.target for member in found.added] == ["6"]
    assert [(member.target, gone and gone.event_id.int) for member, gone in found.removed] == [("3", 2)]
    assert [(old.through, new.through) for old, new in found.changed] == [({"since": None}, {"since": "2026-01-01"})]


def test_a_field_whose_links_are_what_they_were_does_not_differ() -> None:
    events = [
        links(1, "m2m.add", added=["3"]),
        links(2, "m2m.remove", removed=["3"]),
        links(3, "m2m.add", added=["3"]),
    ]
    found = differences(Side({}, memberships(events[:1]), deed(1)), Side({}, memberships(events), deed(3)))
    assert found.memberships == {}
