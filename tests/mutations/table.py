"""The table of mutations, and the tests that have to be in it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of the invariants, and of what operators rely on.
TABLES = tuple(Path(__file__).with_name(f"{name}.toml") for name in ("mutations", "operations"))
# test_i5_…, test_i4_i5_i6_…
INVARIANT = re.compile(r"test_(?:i\d+_)+")
PROVEN = frozenset({1, 3, 4, 5, 6, 9, 10})


class NotApplicable(Exception):
    """The text of a mutation must stand in its file, once unless it says `everywhere`: follow the code."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mechanism that is switched off by replacing a piece of text, and the tests that must fail then."""

    name: str
    file: str
    text: str
    replacement: str
    # As pytest names them. Without the ids of parameters: one of the cases at least.
    tests: tuple[str, ...]
    everywhere: bool = False
    # The version of PostgreSQL, where it is not the usual one.
    postgres: str = ""

    def applied(self, source: str) -> str:
        """
        Return the mutated source.

        :raises NotApplicable: if the text is not there, or too often.
        """
        count = source.count(self.text)
        if count == 0 or (count > 1 and not self.everywhere):
            raise NotApplicable(f"“{self.name}”: {count} times in {self.file}. {NotApplicable.__doc__}")
        return source.replace(self.text, self.replacement)


def load() -> list[Mutation]:
    """Return the tables, one behind the other."""
    entries = [entry for path in TABLES for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]]
    return [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]


def function_of(test: str) -> str:
    """Return the name of a test without the ids of its parameters."""
    return test.partition("[")[0]


def all_tests() -> set[str]:
    """Return all tests, as pytest names them, without the ids of parameters."""
    return {
        f"{path.relative_to(ROOT)}::{name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for name in _functions(path)
        if name.startswith("test_")
    }


def invariant_tests(tests: set[str]) -> set[str]:
    """Return those tests that are named after one of the invariants that must be proven."""
    return {
        test
        for test in tests
        if (found := INVARIANT.match(test.partition("::")[2]))
        and not PROVEN.isdisjoint(map(int, re.findall(r"\d+", found[0])))
    }


def _functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
