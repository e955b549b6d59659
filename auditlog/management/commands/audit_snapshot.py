"""`manage.py audit_snapshot`: give existing rows a first event."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from auditlog.completeness.command import Bar, Left, add_table_arguments, chosen_tables, progress_bar
from auditlog.completeness.links import links_of
from auditlog.completeness.snapshot import snapshot
from auditlog.completeness.tables import BadKey, Table
from auditlog.stopping import stop_at_signals


@dataclass(frozen=True, slots=True)
class Report:
    """How much was recorded so far, by model."""

    rows: dict[str, int]
    # Of models with tracked many-to-many fields.
    links: dict[str, int]

    @classmethod
    def of(cls, tables: list[Table]) -> Report:
        """Return the report of nothing."""
        linked = [table for table in tables if links_of(table)]
        return cls(dict.fromkeys((t.label for t in tables), 0), dict.fromkeys((t.label for t in linked), 0))


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Record each existing row of registered models as an event (op r, action snapshot), and the links of their "
        "many-to-many fields (op m, action snapshot), so that what was there before auditing began has a beginning. "
        "Rows are read in the order of the primary key, each batch in a transaction of its own that holds its rows and "
        "their links while they are recorded. Ctrl-C and SIGTERM finish the batch and print how to go on, with exit "
        "code 1. Run it with DATABASE_URL of the role auditlog_app. Repeating it records the rows again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_table_arguments(parser, position="KEY")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Record the tables, say how many rows that were, and how to go on with what is left."""
        tables = chosen_tables(options["models"], after=options["after"], using=options["database"])
        left = Left([table.model._meta.label for table in tables], options["after"])
        report = Report.of(tables)
        failure = None
        try:
            with progress_bar("recording") as bar, stop_at_signals() as stop:
                _record(tables, left, report, batch_rows=options["batch_rows"], stop=stop, bar=bar)
        except BadKey as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            failure = exc
        go_on = left.command_line("audit_snapshot", database=options["database"])
        self._print(report, go_on, as_json=options["json"])
        if go_on:
            reason = f"The database did not do it: {failure}" if failure else "Stopped."
            raise CommandError(f"{reason.strip()}\nGo on with: {go_on}") from failure

    def _print(self, report: Report, go_on: str | None, *, as_json: bool) -> None:
        if as_json:
            members = {"rows": report.rows, "links": report.links, "complete": go_on is None, "resume": go_on}
            self.stdout.write(json.dumps(members))
            return
        for label, count in report.rows.items():
            links = f" and {report.links[label]} links" if label in report.links else ""
            self.stdout.write(f"{label}: {count} rows{links} recorded")


def _record(
    tables: list[Table], left: Left, report: Report, *, batch_rows: int, stop: threading.Event, bar: Bar
) -> None:
    for table in tables:
        bar.begin(table.label, total=table.estimated_rows())
        for progress in snapshot(table, batch_rows=batch_rows, after=left.position):
            report.rows[table.label], left.position = progress.rows, progress.last_key
            if table.label in report.links:
                report.links[table.label] = progress.links
            bar.update(progress.rows)
            if stop.is_set() and progress.last_key is not None:
                return
        left.labels.pop(0)
        if stop.is_set():
            return
