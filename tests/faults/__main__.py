"""Runs every scenario, or those that ONLY names, and writes the table that the documentation publishes."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import scenarios
from tests.faults.report import PAGE, page, row
from tests.faults.scenario import SCENARIOS, Outcome, Scenario, play
from tests.faults.servers import Servers

__all__ = ["scenarios"]
BROKERS = 3
LAST_WORDS_CHARACTERS = 4_000
ORDINARY = ("relay.published", "consumer.stored")


def say(line: str) -> None:
    """Show progress."""
    sys.stderr.write(f"{line}\n")


def attempt(played: Scenario, servers: Servers) -> Outcome | None:
    """Run one scenario and say what came of it; None where it was violated."""
    say(f"{played.number:>2}  {played.fault} …")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"auditlog-fault-{played.number}-") as name:
        try:
            outcome = play(played, servers, folder=Path(name))
        except AssertionError as exc:
            say(f"    VIOLATED after {time.monotonic() - begun:.0f} s: {_short(str(exc))}")
            return None
    say(f"    {row(outcome)}  ({time.monotonic() - begun:.0f} s)")
    return outcome


def _short(text: str) -> str:
    """Return a message without what processes say of their work when all is well."""
    lines = [line for line in text.splitlines() if not any(f'"{name}"' in line for name in ORDINARY)]
    return "\n".join(lines)[:LAST_WORDS_CHARACTERS]


def main() -> int:
    """Run, report, and return the exit code: 1 where anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", type=int, default=BROKERS, help="how many brokers (%(default)s)")
    parser.add_argument("numbers", type=int, nargs="*", help="only these scenarios; the page is then not written")
    options = parser.parse_args()
    if unknown := set(options.numbers) - SCENARIOS.keys():
        parser.error(f"no scenarios {sorted(unknown)}; there are {sorted(SCENARIOS)}")
    # Otherwise a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    servers = Servers(brokers=options.brokers)
    try:
        servers.start()
        outcomes = {number: attempt(SCENARIOS[number], servers) for number in options.numbers or sorted(SCENARIOS)}
    finally:
        servers.stop()
    violated = [number for number, outcome in outcomes.items() if outcome is None]
    if not options.numbers and not violated:
        PAGE.write_text(page([outcome for outcome in outcomes.values() if outcome is not None]), encoding="utf-8")
    say(f"{len(outcomes) - len(violated)} scenarios as expected, violated: {violated or 'none'}")
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
