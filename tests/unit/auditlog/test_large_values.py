"""References: told from every other value, wherever an event may hold them."""

from __future__ import annotations

from typing import Any

import pytest

from auditlog.large_values import Reference, references

SHA256 = "ab" * 32


@pytest.mark.parametrize(
    "value",
    [
        None,
        "$ref",
        [SHA256, 3],
        {"$ref": SHA256},
        {"$ref": SHA256, "bytes": 3, "more": 1},
        {"$ref": SHA256, "bytes": "3"},
        {"$ref": [SHA256], "bytes": 3},
        {"$json": {"$ref": SHA256, "bytes": 3}},
    ],
)
def test_what_is_not_exactly_a_reference_is_a_value(value: Any) -> None:
    assert Reference.of(value) is None


def test_a_reference_stands_for_the_bytes_of_its_hash() -> None:
    reference = Reference.of({"$ref": "6cc43f858fbb763301637b5af970e2a46b46f461f27e5a0f41e009c59b827b25", "bytes": 5})
    assert reference is not None
    assert reference.stands_for(b'"abc"')
    assert not reference.stands_for(b'"abd"')
    assert not Reference(reference.sha256, 6).stands_for(b'"abc"')


def test_references_are_found_where_the_format_allows_them() -> None:
    def made(number: int) -> dict[str, Any]:
        return {"$ref": f"{number:064d}", "bytes": number}

    found = references(
        before={"a": made(1), "b": 1},
        after={"a": {"deep": made(9)}, "b": made(2)},
        m2m={"through": {"3": {"since": made(3)}, "4": None}, "labels": {"3": "x"}},
        data=made(4),
    )
    assert sorted(reference.size for reference in found) == [1, 2, 3, 4]
    assert list(references(before=None, after=None, m2m={"through": None}, data={"a": made(9)})) == []
