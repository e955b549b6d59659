"""`manage.py import_clinicians FILE`."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from auditlog.stopping import Stop, stop_at_signals
from doctors.clinicians.importer import BATCH_ROWS, DatabaseUnavailable, Waiting, import_rows
from doctors.clinicians.report import ImportReport
from doctors.clinicians.source import ClinicianFile, UnreadableFile

# What a shell reports for a process that a signal ended.
SIGNAL_EXIT_BASE = 128
SHOWN_REJECTIONS = 20


class Command(BaseCommand):
    """See `help`."""

    help = (
        'Insert and update doctors from the official "Doctors and Clinicians" CSV file of the US CMS. NPI names the '
        "doctor, NPI and adrs_id the practice location; pri_spec and sec_spec_* become the doctor's specialties, "
        "hosp_afl_* the departments, exactly as the file has them. Rows that say nothing new are not written. Ctrl-C "
        "and SIGTERM finish the current batch; what is committed stays, and the command can be repeated at any time. "
        "While the database is away the command waits and tries again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="the CSV file")
        parser.add_argument("--encoding", default="utf-8", help="encoding of the file (default: utf-8)")
        parser.add_argument(
            "--batch-rows", type=_positive, default=BATCH_ROWS, help=f"rows of a transaction (default: {BATCH_ROWS})"
        )
        parser.add_argument(
            "--wait-seconds", type=float, default=300.0, help="how long to wait for an absent database (default: 300)"
        )
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Import the file and report."""
        started = time.monotonic()
        self._as_json: bool = options["json"]
        try:
            with ClinicianFile(options["file"], encoding=options["encoding"]) as source, stop_at_signals() as stop:
                report = self._import(source, stop, options)
        except UnreadableFile as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseUnavailable as exc:
            self._print(exc.args[1], seconds=time.monotonic() - started)
            raise CommandError(f"{exc.args[0]} {_resume(exc.args[1])}") from exc
        self._print(report, seconds=time.monotonic() - started)
        if not report.complete:
            raise CommandError(f"Stopped. {_resume(report)}", returncode=SIGNAL_EXIT_BASE + stop.number)

    def _import(self, source: ClinicianFile, stop: Stop, options: dict[str, Any]) -> ImportReport:
        console = Console(stderr=True)
        columns = (TextColumn("importing"), BarColumn(), TextColumn("{task.fields[rows]} rows"), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("importing", total=source.size_bytes, rows=0)
            return import_rows(
                source,
                stop=stop,
                waiting=Waiting(limit_seconds=options["wait_seconds"], tell=self.stderr.write),
                batch_rows=options["batch_rows"],
                progress=lambda report: bar.update(task, completed=source.position_bytes, rows=report.rows),
            )

    def _print(self, report: ImportReport, *, seconds: float) -> None:
        if self._as_json:
            self.stdout.write(json.dumps(report.members(seconds=seconds)))
            return
        self.stdout.write(f"{report.rows} rows in {seconds:.1f} s")
        for name, tally in (("doctors", report.doctors), ("locations", report.locations)):
            self.stdout.write(
                f"  {name:<10} {tally.created} created, {tally.updated} updated, {tally.unchanged} unchanged"
            )
        if report.duplicates:
            self.stdout.write(f"  {report.duplicates} rows repeat an address of an earlier row")
        if report.refused_assignments:
            self.stdout.write(f"  {report.refused_assignments} assignments to inactive departments were not made")
        self.stdout.write(f"  {len(report.rejected)} rows rejected")
        for row in report.rejected[:SHOWN_REJECTIONS]:
            self.stdout.write(f"    line {row.line}: {row.reason}")
        if len(report.rejected) > SHOWN_REJECTIONS:
            self.stdout.write(f"    … and {len(report.rejected) - SHOWN_REJECTIONS} more: --json lists all")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _resume(report: ImportReport) -> str:
    return f"Everything up to line {report.last_line} is committed; run the command again to go on."
