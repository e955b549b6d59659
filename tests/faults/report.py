"""The table of `docs/reference/faults.md`, made of what a run found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass

from tests.faults.scenario import SCENARIOS, Outcome
from tests.trees import ROOT

PAGE = ROOT / "docs" / "reference" / "faults.md"
NOT_MET = "not met"
RESULTS = ROOT / "build" / "faults.json"
HEAD = """\
# Faults

What the fault suite found in its last run of each scenario, on three Kafka brokers. `make faults` writes this page.
See [Run the fault suite](../how-to/run-the-fault-suite.md).

*Lost* counts events that committed and are not on the topics or not in the audit log, and committed changes without an
event. *Out of order* counts objects whose events appear first in another order than that of their commits. What stands
twice on a topic has the same event id and the same bytes. *Recovery* is the time from the end of the fault (or from the
fault, where another takes over) until everything that had committed by then was stored.

| # | Fault | Expected | Lost | Out of order | Twice on the topics | Twice in the log | Recovery, s | Events |
| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    number: int
    fault: str
    expected: str
    lost: int
    out_of_order: int
    duplicates_on_topics: int
    duplicates_in_log: int
    recovery_seconds: float | None
    events: int

    @classmethod
    def of(cls, outcome: Outcome) -> Row:
        """Return an outcome as a row."""
        found, played = outcome.account, outcome.scenario
        return cls(
            played.number,
            played.fault,
            played.expected,
            len(found.lost),
            len(found.out_of_order),
            found.duplicates_on_topics,
            found.duplicates_in_log,
            outcome.recovery_seconds,
            found.events,
        )

    def __str__(self) -> str:
        recovery = "" if self.recovery_seconds is None else f"{self.recovery_seconds:.1f}"
        return "| " + " | ".join(str(value) for value in (*astuple(self)[:-2], recovery, self.events)) + " |"


def read(text: str) -> dict[int, Row]:
    """Return the rows of a page; of scenarios as they are now, and without those that were not as expected."""
    found: dict[int, Row] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else [""]
        if not cells[0].isdigit() or NOT_MET in cells:
            continue
        number, (fault, expected), recovery = int(cells[0]), cells[1:3], cells[7]
        played = SCENARIOS.get(number)
        if played is not None and (played.fault, played.expected) == (fault, expected):
            lost, out_of_order, on_topics, in_log = map(int, cells[3:7])
            seconds, events = float(recovery) if recovery else None, int(cells[8])
            found[number] = Row(
                number, fault, expected, lost, out_of_order, on_topics, in_log, recovery_seconds=seconds, events=events
            )
    return found


def page(rows: Mapping[int, Row]) -> str:
    """Return the whole page; what was not as expected says so instead of numbers."""
    lines = [
        str(rows.get(number) or f"| {number} | {played.fault} | {played.expected} | {NOT_MET} | | | | | |")
        for number, played in sorted(SCENARIOS.items())
    ]
    return HEAD + "\n".join(lines) + "\n"


def save(rows: Iterable[Row]) -> None:
    """Keep what a run has found so far, so that it can be gone on with."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


def saved() -> dict[int, Row]:
    """Return what the last run found."""
    found = json.loads(RESULTS.read_bytes()) if RESULTS.exists() else []
    return {members["number"]: Row(**members) for members in found}
