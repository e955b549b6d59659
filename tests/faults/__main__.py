"""Runs every scenario, or those that ONLY names, and writes the table that the documentation publishes."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults import scenarios
from tests.faults.report import PAGE, Row, page, read, save, saved
from tests.faults.run import Violation
from tests.faults.scenario import SCENARIOS, Scenario, play
from tests.faults.servers import Servers

__all__ = ["scenarios"]
BROKERS = 3
LAST_WORDS_CHARACTERS = 4_000
ORDINARY = ("relay.published", "consumer.stored")


def say(line: str) -> None:
    """Show progress."""
    sys.stderr.write(f"{line}\n")


def attempt(played: Scenario, servers: Servers, *, scale: float) -> Row | None:
    """Run one scenario and say what came of it; None where it was violated."""
    say(f"{played.number:>2}  {played.fault} …")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"auditlog-fault-{played.number}-") as name:
        try:
            row = Row.of(play(played, servers, folder=Path(name), scale=scale))
        except Violation as exc:
            say(f"    VIOLATED after {time.monotonic() - begun:.0f} s: {_short(str(exc))}")
            return None
        except Exception as exc:  # noqa: BLE001 - the edge of the run: whatever happens, the other scenarios go on
            say(
                f"    FAILED after {time.monotonic() - begun:.0f} s: {_short(''.join(traceback.format_exception(exc)))}"
            )
            return None
    say(f"    {row}  ({time.monotonic() - begun:.0f} s)")
    return row


def _short(text: str) -> str:
    """Return a message without what processes say of their work when all is well."""
    lines = [line for line in text.splitlines() if not any(f'"{name}"' in line for name in ORDINARY)]
    return "\n".join(lines)[:LAST_WORDS_CHARACTERS]


def main() -> int:
    """Run, report, and return the exit code: 1 where anything was violated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", type=int, default=BROKERS, help="how many brokers (%(default)s)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the load of what has a large one (%(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run: leave out what was as expected")
    parser.add_argument(
        "numbers", type=int, nargs="*", help="only these scenarios; the others stay on the page as they are"
    )
    options = parser.parse_args()
    if unknown := set(options.numbers) - SCENARIOS.keys():
        parser.error(f"no scenarios {sorted(unknown)}; there are {sorted(SCENARIOS)}")
    # Otherwise a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    rows = saved() if options.resume else {}
    wanted = [number for number in options.numbers or sorted(SCENARIOS) if number not in rows]
    keep = options.scale == 1 and (not options.numbers or options.resume)
    violated = run(wanted, rows, brokers=options.brokers, scale=options.scale, keep=keep)
    if options.brokers == BROKERS and options.scale == 1:
        # Of some scenarios: the others stay as they were found last.
        others = read(PAGE.read_text(encoding="utf-8")) if options.numbers else {}
        known = {number: row for number, row in others.items() if number not in violated}
        PAGE.write_text(page({**known, **rows}), encoding="utf-8")
    say(f"{len(wanted) - len(violated)} scenarios as expected, violated: {violated or 'none'}")
    return 1 if violated else 0


def run(numbers: list[int], rows: dict[int, Row], *, brokers: int, scale: float, keep: bool) -> list[int]:
    """Run scenarios, add what they find to `rows`, and return those that were not as expected."""
    servers = Servers(brokers=brokers)
    violated = []
    try:
        servers.start()
        for number in numbers:
            if (row := attempt(SCENARIOS[number], servers, scale=scale)) is None:
                violated.append(number)
                continue
            rows[number] = row
            if keep:
                save(rows.values())
    finally:
        servers.stop()
    return violated


if __name__ == "__main__":
    sys.exit(main())
