"""The page on the signals chapter has a row for each section, and what it names exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.unit.docs.documents import ROOT, reference

PAGE = reference("chapter")
# The headings of the chapter, in its order.
SECTIONS = [
    "Overview",
    "Signal Architecture",
    "Basic Setup",
    "Create Signals Module",
    "Register in AppConfig",
    "Verify App Config",
    "Model Signals",
    "pre_save - Validate Before Save",
    "post_save - React to Save",
    "post_delete - Cleanup",
    "ManyToMany Signals",
    "m2m_changed",
    "Transaction-Safe Signals",
    "Use transaction.on_commit",
    "Why Use on_commit?",
    "Cache Invalidation",
    "Automatic Cache Invalidation",
    "Batch Cache Operations",
    "Custom Signals",
    "Define Custom Signal",
    "Send Custom Signal",
    "Receive Custom Signal",
    "Request Signals",
    "Log All Requests",
    "Signal with dispatch_uid",
    "Disconnecting Signals",
    "Temporarily Disable Signals",
    "Bulk Operations Without Signals",
    "Testing Signals",
    "Test Signal is Called",
    "Test Signal Not Called",
    "Best Practices",
    "When to Use Signals vs Alternatives",
    "References",
    "Next Steps",
]
LINK = re.compile(r"\[`([^`]+)`\]\(([^)]+)\)")
ROWS = PAGE.rows("Sections")


def functions_of(path: str) -> set[str]:
    """Return the names of the test functions and methods of a file."""
    tree = ast.parse((PAGE.path.parent / path).resolve().read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}


def test_each_section_has_a_row_in_the_order_of_the_chapter() -> None:
    assert [cells[0] for cells in ROWS] == SECTIONS


@pytest.mark.parametrize("cells", ROWS, ids=[cells[0] for cells in ROWS])
def test_what_a_row_names_exists(cells: list[str]) -> None:
    _section, where, proof, *_rest = cells
    places, proofs = LINK.findall(where), LINK.findall(proof)

    assert places
    assert proofs
    for name, target in places:
        assert (PAGE.path.parent / target).resolve() == ROOT / name
        assert (ROOT / name).is_file()
    for name, target in proofs:
        assert name in functions_of(target), f"{target} has no {name}"
