"""The published table is of the scenarios that there are, and tells of nothing that must not be."""

from __future__ import annotations

from tests.faults import scenarios
from tests.faults.report import NOT_MET, PAGE, page, read
from tests.faults.scenario import SCENARIOS

__all__ = ["scenarios"]
# Those of the research, and three that a PostgreSQL without an answer needs.
FAULTS = 45


def table() -> list[list[str]]:
    """Return the cells of the table's rows."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


def test_every_scenario_is_published_as_it_is_now() -> None:
    published = [(int(number), fault, expected) for number, fault, expected, *_ in table()]
    assert published == [(s.number, s.fault, s.expected) for _number, s in sorted(SCENARIOS.items())]
    assert len(published) == FAULTS


def test_nothing_was_lost_disordered_or_stored_twice_and_something_happened() -> None:
    for number, _fault, _expected, lost, out_of_order, _on_topics, in_log, _recovery, events in table():
        assert (lost, out_of_order, in_log) == ("0", "0", "0"), number
        assert int(events) > 100, number


def test_a_run_of_some_scenarios_leaves_what_is_published_of_the_others() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = read(text)
    assert page(rows) == text
    changed = {number: row for number, row in rows.items() if number != 7}
    assert read(page(changed)) == changed
    assert page(changed).count(NOT_MET) == 1
    # Of a scenario that is another one by now, nothing is known.
    assert read(text.replace(rows[8].expected, "something else")) == {n: row for n, row in rows.items() if n != 8}
