"""Who set a value: the last event that gave it, and nobody where no event did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.queries.provenance import Birth, Held, Image, Origin, Setting, held, same
from tests.unit.auditlog_queries.builders import deed

# echo -n '"xxxxxxxxxx"' | sha256sum
REFERENCE = {"$ref": "f689454de3f9d2f4ee1c93386125e86601764554752eeb134fd0db1348797336", "bytes": 12}
NOBODY = (Origin.UNRECORDED, None)


def origins(image: Mapping[str, Any], settings: Mapping[str, Setting], birth: Birth | None = None) -> dict[str, Any]:
    """Return (origin, number of the event) by field name."""
    found = held(Image(image), settings=settings, birth=birth)
    return {name: in_short(value) for name, value in found.items()}


def in_short(value: Held) -> tuple[Origin, int | None]:
    return value.origin, value.deed.event_id.int if value.deed else None


def test_a_value_belongs_to_the_last_event_that_set_its_field() -> None:
    settings = {"title": Setting(deed(2), "Emma II"), "quantity": Setting(deed(1, "create"), 1)}
    birth = Birth(deed(1, "create"), frozenset({"title", "quantity", "price"}))
    assert origins({"title": "Emma II", "quantity": 1, "price": None}, settings, birth) == {
        "title": (Origin.EVENT, 2),
        "quantity": (Origin.EVENT, 1),
        # Without a value from the beginning.
        "price": (Origin.EVENT, 1),
    }


def test_a_value_that_no_event_set_is_older_than_the_log() -> None:
    assert origins({"title": "Emma", "quantity": 2}, {"quantity": Setting(deed(1), 2)}) == {
        "title": (Origin.BEFORE_THE_LOG, None),
        "quantity": (Origin.EVENT, 1),
    }


def test_nobody_is_blamed_for_what_was_written_past_the_audit() -> None:
    birth = Birth(deed(1, "create"), frozenset({"title"}))
    assert origins({"title": "raw"}, {"title": Setting(deed(1, "create"), "Emma")}, birth) == {"title": NOBODY}


def test_nobody_is_blamed_where_events_may_be_missing() -> None:
    settings = {"title": Setting(deed(1), "Emma"), "quantity": Setting(deed(2), 2)}
    image = Image({"title": "Persuasion", "quantity": 2, "price": None})
    found = held(image, settings=settings, birth=None, is_partial=True)
    assert {name: in_short(value) for name, value in found.items()} == {
        "title": (Origin.UNSEEN, None),
        "quantity": (Origin.EVENT, 2),
        "price": (Origin.UNSEEN, None),
    }


def test_a_column_that_came_later_was_not_set_by_the_event_that_created_the_row() -> None:
    birth = Birth(deed(1, "create"), frozenset({"title"}))
    assert origins({"title": None, "shelf": None, "place": "A"}, {}, birth) == {
        "title": (Origin.EVENT, 1),
        "shelf": NOBODY,
        "place": NOBODY,
    }


def test_an_object_created_again_owes_nothing_to_the_one_that_is_gone() -> None:
    settings = {"title": Setting(deed(4, "create"), "Emma"), "price": Setting(deed(2), None)}
    birth = Birth(deed(4, "create"), frozenset({"title", "price"}))
    assert origins({"title": "Emma", "price": None}, settings, birth) == {
        "title": (Origin.EVENT, 4),
        "price": (Origin.EVENT, 4),
    }


def test_an_object_that_is_there_after_its_delete_was_set_by_nobody() -> None:
    settings = {"title": Setting(deed(3, "delete"), None), "price": Setting(deed(2), None)}
    death = Birth(deed(3, "delete"), frozenset())
    assert origins({"title": None, "price": None}, settings, death) == {"title": NOBODY, "price": NOBODY}


def test_masked_values_are_not_compared() -> None:
    settings = {"code": Setting(deed(1), "hmac:aa", is_masked=True)}
    found = held(Image({"code": "hmac:bb"}, masked=frozenset({"code"})), settings=settings, birth=None)
    assert in_short(found["code"]) == (Origin.EVENT, 1)
    assert found["code"].is_opaque


def test_a_null_is_compared_behind_a_mask_and_not_where_the_caller_may_not_see_it() -> None:
    settings = {"code": Setting(deed(1), "hmac:aa", is_masked=False)}
    (masked,) = held(Image({"code": None}, masked=frozenset({"code"})), settings=settings, birth=None).values()
    (hidden,) = held(Image({"code": None}, hidden=frozenset({"code"})), settings=settings, birth=None).values()
    assert (in_short(masked), masked.is_opaque) == (NOBODY, False)
    assert (in_short(hidden), hidden.is_opaque) == ((Origin.EVENT, 1), True)


def test_columns_go_by_the_names_of_their_fields() -> None:
    image = Image({"shelf_id": 3}, fields={"shelf_id": "shelf"})
    (found,) = held(image, settings={"shelf": Setting(deed(1), 3)}, birth=None).items()
    assert (found[0], found[1].column, found[1].origin) == ("shelf", "shelf_id", Origin.EVENT)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, None, True),
        ({"a": [1]}, {"a": [1]}, True),
        (REFERENCE, dict(REFERENCE), True),
        (REFERENCE, "xxxxxxxxxx", True),
        ("xxxxxxxxxx", REFERENCE, True),
        (REFERENCE, "yyyyyyyyyy", False),
        # The text of nested JSON is not kept: it may be the one.
        (REFERENCE, {"a": 1}, True),
        (REFERENCE, None, False),
    ],
)
def test_values_are_the_same_when_they_may_stand_for_each_other(one: Any, other: Any, expected: bool) -> None:
    assert same(one, other) is expected


Step = tuple[str, tuple[bool, bool, bool]]
steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "raw", "snapshot", "delete", "null"]),
        st.tuples(st.booleans(), st.booleans(), st.booleans()),
    ),
    max_size=12,
)
FIELDS = ("a", "b", "c")


@given(steps=steps)
def test_who_is_named_set_the_value_and_nobody_after_them(steps: list[Step]) -> None:
    """Every value that is ever given is new, so that whoever is named must be who gave it."""
    row: dict[str, Any] | None = None
    truth: dict[str, Any] = {}
    settings: dict[str, Setting] = {}
    birth: Birth | None = None
    for number, (kind, chosen) in enumerate(steps, start=1):
        names = [name for name, is_chosen in zip(FIELDS, chosen, strict=True) if is_chosen]
        if kind == "create" and row is None:
            row = {name: f"{name}{number}" if name in names else None for name in FIELDS}
            truth = dict.fromkeys(FIELDS, (Origin.EVENT, number))
            birth = Birth(deed(number, "create"), frozenset(FIELDS))
            settings |= {name: Setting(deed(number, "create"), row[name]) for name in names}
        elif kind in {"update", "null"} and row is not None:
            row |= {name: None if kind == "null" else f"{name}{number}" for name in names}
            truth |= dict.fromkeys(names, (Origin.EVENT, number))
            settings |= {name: Setting(deed(number), row[name]) for name in names}
        elif kind == "raw" and row is not None:
            row |= {name: f"{name}{number}" for name in names}
            truth |= dict.fromkeys(names, NOBODY)
        elif kind == "delete" and row is not None:
            gone = [name for name, value in row.items() if value is not None]
            settings |= {name: Setting(deed(number, "delete"), None) for name in gone}
            row, birth = None, Birth(deed(number, "delete"), frozenset())
    assert row is None or origins(row, settings, birth) == truth
