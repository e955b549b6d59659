"""`manage.py audit_rollups`: the upkeep of what statistics are read from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import rollups
from auditlog.completeness.command import progress_bar
from auditlog.routers import READ_MODEL_ALIAS
from auditlog.stopping import stop_at_signals

MONTH = "%Y-%m"


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Keep the counts of events by hour. compact: count the months whose events were stored before there were "
        "counts, then put the rows of each hour together; run it often. verify: compare the counts with the events. "
        "rebuild: count months anew. Safe beside running processes, to repeat, to stop and to run twice at once. Run "
        "it as the tables' owner (AUDIT_DATABASE_OWNER_URL or DATABASE_OWNER_URL)."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{compact,verify,rebuild}")
        compact = commands.add_parser("compact", help="count what was never counted, and put rows together")
        verify = commands.add_parser("verify", help="compare with the events; exit code 1 where they differ")
        rebuild = commands.add_parser("rebuild", help="count months anew")
        for command in (verify, rebuild):
            command.add_argument("--from", dest="since", type=month, metavar="YYYY-MM", help="first month (UTC)")
            command.add_argument("--to", dest="until", type=month, metavar="YYYY-MM", help="last month")
        for command in (compact, verify, rebuild):
            command.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it until everything is done or a signal comes."""
        run = {"compact": _compact, "verify": _verify, "rebuild": _rebuild}[options["subcommand"]]
        try:
            report, done = run(connections[READ_MODEL_ALIAS], options)
        except DatabaseError as exc:
            raise CommandError(f"The database refused: {exc} What was done stays: run the command again.") from exc
        self.stdout.write(json.dumps(report) if options["json"] else _sentence(report))
        if not done:
            raise CommandError("Stopped. What was done stays: run the command again.")
        if report.get("differences"):
            raise CommandError("Counts differ from the events: run `audit_rollups rebuild` for these months.")


def month(text: str) -> datetime:
    """Parse a month, `2026-11`."""
    return datetime.strptime(text, MONTH).replace(tzinfo=UTC)


def _compact(connection: BaseDatabaseWrapper, _options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    rebuilt, done = _counted_anew(connection, rollups.backlog(connection))
    hours: list[str] = []
    done = done and _each(rollups.fresh_hours(connection), hours, lambda at: rollups.compact(connection, at))
    return {"rebuilt": rebuilt, "compacted_hours": len(hours)}, done


def _rebuild(connection: BaseDatabaseWrapper, options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    rebuilt, done = _counted_anew(connection, _months(connection, options))
    return {"rebuilt": rebuilt}, done


def _counted_anew(connection: BaseDatabaseWrapper, wanted: Iterable[datetime]) -> tuple[list[str], bool]:
    rebuilt: list[str] = []
    done = _each(wanted, rebuilt, lambda at: rollups.rebuild(connection, at), form=MONTH)
    if rebuilt:
        rollups.analyze(connection)
    return rebuilt, done


def _verify(connection: BaseDatabaseWrapper, options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    found: list[rollups.Difference] = []
    verified: list[str] = []
    waiting = set(rollups.backlog(connection))
    wanted = [at for at in _months(connection, options) if at not in waiting]
    done = _each(wanted, verified, lambda at: found.extend(rollups.differences(connection, at)), form=MONTH)
    told = [{"hour": one.at.isoformat(), "lacking": one.lacking, "surplus": one.surplus} for one in found]
    return {"verified": verified, "differences": told, "backlog": [f"{at:{MONTH}}" for at in sorted(waiting)]}, done


def _months(connection: BaseDatabaseWrapper, options: dict[str, Any]) -> Iterator[datetime]:
    for at in rollups.known_months(connection):
        if (options["since"] or at) <= at <= (options["until"] or at):
            yield at


def _each(
    moments: Iterable[datetime], done: list[str], work: Callable[[datetime], None], *, form: str = "%F %H:00"
) -> bool:
    """Work through moments and note those that are done; False where a signal came before the last."""
    wanted = list(moments)
    with stop_at_signals() as stop, progress_bar("Counting") as bar:
        bar.begin("", total=len(wanted))
        for at in wanted:
            if stop.is_set():
                return False
            work(at)
            done.append(f"{at:{form}}")
            bar.update(len(done))
    return True


def _sentence(report: dict[str, Any]) -> str:
    lines = []
    if "rebuilt" in report:
        lines.append(f"Counted anew: {', '.join(report['rebuilt']) or 'nothing'}.")
    if "compacted_hours" in report:
        lines.append(f"Put together: {report['compacted_hours']} hours.")
    if "verified" in report:
        lines.append(f"Compared: {', '.join(report['verified']) or 'nothing'}.")
        lines += [
            f"{one['hour']}: {one['lacking']} events not counted, {one['surplus']} counted too many."
            for one in report["differences"]
        ]
        lines += [f"Not counted yet: {', '.join(report['backlog'])}."] * bool(report["backlog"])
    return "\n".join(lines)
