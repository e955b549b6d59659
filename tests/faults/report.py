"""The table of `docs/reference/faults.md`, made of what a run found."""

from __future__ import annotations

from collections.abc import Sequence

from tests.acceptance.pipeline.services import ROOT
from tests.faults.scenario import Outcome

PAGE = ROOT / "docs" / "reference" / "faults.md"
HEAD = """\
# Faults

What the fault suite found in its last full run, on three Kafka brokers: written by `make faults`, not by hand. See
[Run the fault suite](../how-to/run-the-fault-suite.md).

*Lost* counts events that committed and are not on the topics or not in the audit log, and committed changes without an
event. *Out of order* counts objects whose events appear first in another order than that of their commits. What stands
twice on a topic has the same event id and the same bytes. *Recovery* is the time from the end of the fault (or from the
fault, where another takes over) until everything that had committed by then was stored.

| # | Fault | Expected | Lost | Out of order | Twice on the topics | Twice in the log | Recovery, s | Events |
| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def row(outcome: Outcome) -> str:
    """Return an outcome as a row of the table."""
    found = outcome.account
    recovery = "" if outcome.recovery_seconds is None else f"{outcome.recovery_seconds:.1f}"
    cells = (
        outcome.scenario.number,
        outcome.scenario.fault,
        outcome.scenario.expected,
        len(found.lost),
        len(found.out_of_order),
        found.duplicates_on_topics,
        found.duplicates_in_log,
        recovery,
        found.events,
    )
    return f"| {' | '.join(map(str, cells))} |"


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the whole page."""
    return HEAD + "\n".join(row(outcome) for outcome in outcomes) + "\n"
