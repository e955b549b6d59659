"""Names inside statements that have parameters."""

from __future__ import annotations

import pytest

from auditlog.capture.columns import literal, quote, regclass

NAME = 'half 50% "off"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (quote(NAME), '"half 50% ""off"""'),
        (literal(NAME), "'half 50% \"off\"'"),
        (regclass(quote(NAME)), '\'"half 50% ""off"""\'::regclass'),
    ],
    ids=["identifier", "literal", "oid of a table"],
)
def test_a_percent_sign_in_a_name_reaches_the_server_once(text: str, expected: str) -> None:
    assert text % () == expected
