"""`manage.py audit_bypass`: find rows and links that were changed past the ORM."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from auditlog.completeness.adoption import adopt
from auditlog.completeness.bypass import Checked, Difference, check, check_sample, settle
from auditlog.completeness.command import Bar, Left, add_table_arguments, chosen_tables, positive, progress_bar
from auditlog.completeness.images import outbox_reader
from auditlog.completeness.tables import BadKey, Table
from auditlog.stopping import stop_at_signals

GRACE_SECONDS = 10.0
# Findings in the text for people; --json names all.
SHOWN = 100


@dataclass(slots=True)
class Report:
    """What was compared so far."""

    # Model label -> rows and objects of the audit log that were compared.
    checked: dict[str, int]
    found: list[Difference] = field(default_factory=list)
    pending: list[Difference] = field(default_factory=list)
    # Those of `found` that have an event now.
    adopted: list[Difference] = field(default_factory=list)
    reads_outbox: bool = True


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Compare the rows of registered models with the last image that the audit log has of each, and the links of "
        "their many-to-many fields with its events, and name what raw SQL or another program changed, inserted or "
        "deleted. What has events on their way is looked at again for --grace seconds before it is reported. Exit code "
        "0 only if everything agrees, or was adopted. "
        "Run it with DATABASE_URL of the role auditlog_app and AUDIT_DATABASE_URL of the role auditlog_reader. Ctrl-C "
        "and SIGTERM finish the batch and print how to go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_table_arguments(parser, position="PLACE")
        parser.add_argument("--sample", type=positive, metavar="N", help="compare N rows of each model, at random")
        parser.add_argument(
            "--grace", type=float, default=GRACE_SECONDS, help="seconds for events to arrive (default: %(default)s)"
        )

        parser.add_argument(
            "--adopt",
            action="store_true",
            help="record events of what was found, marked as made by this check: its history goes on",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Compare, report, and fail where something was found."""
        if options["sample"] and options["after"]:
            raise CommandError("A sample has no place to go on after: leave --after out.")
        tables = chosen_tables(options["models"], after=options["after"], using=options["database"])
        left = Left([table.model._meta.label for table in tables], options["after"])
        report = Report(dict.fromkeys((table.label for table in tables), 0))
        failure = None
        try:
            report.reads_outbox = all(outbox_reader(table) is not None for table in tables[:1])
            if options["adopt"] and not report.reads_outbox:
                raise CommandError("--adopt needs a role that may read the outbox: an event could be on its way.")
            with progress_bar("comparing") as bar, stop_at_signals() as stop:
                _compare(tables, left, report, options, stop=stop, bar=bar)
        except BadKey as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            failure = exc
        go_on = left.command_line("audit_bypass", database=options["database"], sample=options["sample"])
        self._print(report, go_on, as_json=options["json"])
        if go_on:
            reason = f"The database did not do it: {failure}" if failure else "Stopped."
            raise CommandError(f"{reason.strip()}\nGo on with: {go_on}") from failure
        if len(report.found) > len(report.adopted) or report.pending:
            raise SystemExit(1)

    def _print(self, report: Report, go_on: str | None, *, as_json: bool) -> None:
        if as_json:
            members = {
                "checked": report.checked,
                "found": [finding.members() for finding in report.found],
                "adopted": [finding.members() for finding in report.adopted],
                "pending": [finding.members() for finding in report.pending],
                "outbox_read": report.reads_outbox,
                "complete": go_on is None,
                "resume": go_on,
            }
            self.stdout.write(json.dumps(members))
            return
        self.stdout.write("\n".join(_lines(report)))


def _compare(
    tables: list[Table], left: Left, report: Report, options: dict[str, Any], *, stop: threading.Event, bar: Bar
) -> None:
    for table in tables:
        bar.begin(table.label, total=None if options["sample"] else table.estimated_rows())
        is_over = _compare_one(table, left, report, options, stop=stop, bar=bar)
        if not is_over:
            return
        left.labels.pop(0)
        left.position = None
        if stop.is_set():
            return


def _compare_one(
    table: Table, left: Left, report: Report, options: dict[str, Any], *, stop: threading.Event, bar: Bar
) -> bool:
    """Compare one table, and tell whether it was finished."""
    suspects: list[Difference] = []
    is_over = True
    try:
        for batch in _batches(table, left.position, options):
            report.checked[table.label] += batch.count
            suspects += batch.suspects
            left.position = batch.position
            bar.update(report.checked[table.label])
            if stop.is_set():
                is_over = False
                break
        settled = settle(table, suspects, grace_seconds=options["grace"], batch_rows=options["batch_rows"], stop=stop)
    except DatabaseError:
        report.pending += suspects
        raise
    report.found += settled.found
    report.pending += settled.pending
    for finding in settled.found if options["adopt"] else ():
        if not stop.is_set() and adopt(table, finding):
            report.adopted.append(finding)
    return is_over


def _batches(table: Table, position: str | None, options: dict[str, Any]) -> Iterator[Checked]:
    if options["sample"]:
        return check_sample(table, size=options["sample"], batch_rows=options["batch_rows"])
    return check(table, batch_rows=options["batch_rows"], position=position)


def _lines(report: Report) -> Iterator[str]:
    for label, count in report.checked.items():
        yield f"{label}: {count} rows and objects compared"
    for name, findings in (("DIFFERENT", report.found), ("on their way, look again", report.pending)):
        for finding in findings[:SHOWN]:
            yield f"{name}: {finding}"
        if len(findings) > SHOWN:
            yield f"… and {len(findings) - SHOWN} more: --json names all"
    if not report.reads_outbox:
        yield "The outbox cannot be read with these roles: events that wait longer than --grace look like differences."
    adopted = f" {len(report.adopted)} were adopted." if report.adopted else ""
    yield f"Differences: {len(report.found)}.{adopted}" if report.found else "Everything agrees."
