"""What changed is worked out of two images without touching a digit."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consumers.changes import Changes, Image, applied, changes
from tests.unit.consumers.builders import LAW

NAMES = st.sampled_from(["id", "email", "department_id", "fee", "tags", "tax_id"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4)
FIELDS = {"department_id": "department"}
COLUMNS = {"department": "department_id"}


def image(**values: str) -> dict[str, msgspec.Raw]:
    """Return an image of columns with these JSON texts."""
    return {column: msgspec.Raw(text.encode()) for column, text in values.items()}


def texts(found: Changes) -> dict[str, list[str]]:
    """Return changes as JSON texts."""
    return {name: [bytes(value).decode() for value in pair] for name, pair in found.items()}


def encoded(value: Any) -> str:
    """Return JSON text that keeps a decimal's digits."""
    return str(value) if isinstance(value, Decimal) else json.dumps(value, default=str)


@st.composite
def image_pairs(draw: st.DrawFn) -> tuple[Image, Image]:
    """Two images of the same columns."""
    columns = draw(st.sets(NAMES))
    before, after = ({c: msgspec.Raw(encoded(draw(VALUES)).encode()) for c in columns} for _ in range(2))
    return before, after


def test_an_update_names_the_changed_fields_alone() -> None:
    found = changes(
        before=image(id="17", email='"a"', fee='"1.50"'), after=image(id="17", email='"b"', fee='"1.50"'), fields={}
    )
    assert texts(found) == {"email": ['"a"', '"b"']}


def test_a_create_lists_each_value_that_is_not_null() -> None:
    found = changes(before=None, after=image(id="17", email="null", is_active="false"), fields={})
    assert texts(found) == {"id": ["null", "17"], "is_active": ["null", "false"]}


def test_a_delete_lists_each_value_that_is_not_null() -> None:
    found = changes(before=image(id="17", email="null", bio='""'), after=None, fields={})
    assert texts(found) == {"id": ["17", "null"], "bio": ['""', "null"]}


def test_a_foreign_key_stands_under_its_field_name_with_the_raw_key() -> None:
    found = changes(before=image(department_id="3"), after=image(department_id="null"), fields=FIELDS)
    assert texts(found) == {"department": ["3", "null"]}


def test_a_masked_value_that_changed_is_listed_though_it_looks_equal() -> None:
    same = image(id="17", tax_id='"***"')
    assert texts(changes(before=same, after=same, fields={}, masked_changed=["tax_id"])) == {
        "tax_id": ['"***"', '"***"']
    }


def test_a_hashed_value_that_changed_keeps_both_hashes() -> None:
    found = changes(
        before=image(tax_id='"hmac:1"'), after=image(tax_id='"hmac:2"'), fields={}, masked_changed=["tax_id"]
    )
    assert texts(found) == {"tax_id": ['"hmac:1"', '"hmac:2"']}


def test_numbers_keep_every_digit() -> None:
    old, new = "12345678901234567890123456789.10", "12345678901234567890123456789.11"
    found = changes(before=image(n=old), after=image(n=new), fields={})
    assert msgspec.json.encode(found).decode() == f'{{"n":[{old},{new}]}}'


@LAW
@given(image_pairs())
def test_applying_the_changes_to_the_image_before_gives_the_image_after(pair: tuple[Image, Image]) -> None:
    before, after = pair
    found = changes(before=before, after=after, fields=FIELDS)
    result = applied(before=before, changed=found, columns=COLUMNS)
    assert {c: bytes(v) for c, v in result.items()} == {c: bytes(v) for c, v in after.items()}


@LAW
@given(image_pairs())
def test_a_field_is_listed_only_where_its_values_differ(pair: tuple[Image, Image]) -> None:
    found = changes(before=pair[0], after=pair[1], fields=FIELDS)
    assert all(bytes(old) != bytes(new) for old, new in found.values())
