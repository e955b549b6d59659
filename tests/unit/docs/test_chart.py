"""docs/reference/chart.md: every property of the chart names tests that exist, and were seen to fail."""

from __future__ import annotations

import re
from functools import cache

from tests.mutations.table import function_of, load
from tests.unit.docs.documents import ROOT, Document

NOTICED = {function_of(test).split("::")[1] for mutation in load() for test in mutation.tests}
PAGE = Document(ROOT / "docs" / "reference" / "chart.md")
PROPERTY = re.compile(r"^\| ([\d, ]+) \|(.*)\|$", re.MULTILINE)


@cache
def names_of_tests() -> set[str]:
    """Return the names of all tests."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}


def test_every_property_of_the_chart_is_shown_by_tests_that_exist() -> None:
    numbers: list[int] = []
    for which, text in PROPERTY.findall(PAGE.text):
        numbers += map(int, which.split(","))
        named = re.findall(r"`(test_\w+)`", text)
        assert named, which
        assert set(named) - names_of_tests() == set(), which
        assert set(named) & NOTICED, f"{which}: name in tests/mutations/operations.toml what makes one of them fail"
    assert numbers == list(range(1, 41))
