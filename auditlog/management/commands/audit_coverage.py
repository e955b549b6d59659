"""`manage.py audit_coverage`: which writes leave an event, and which do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from auditlog.completeness.coverage import Coverage, ModelCoverage, coverage, unregistered
from auditlog.completeness.reads import ReadPath, read_paths


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Print for each registered model every way in which Django writes, and whether such a write is captured, "
        "refused, excluded by the registration, only detected afterwards, or not covered; the masked and excluded "
        "columns, and what each column holds; the models that are not registered; and whether it is recorded that "
        "somebody reads the audit log by the API or the admin. Worked out from what is registered, overridden and "
        "installed. Exit code 1 when a registered model has a hole other than raw SQL, or the log can be read without "
        "an event. Run it with the DATABASE_URL of the application, role auditlog_app."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print the coverage, and fail where there is a hole."""
        try:
            covered, others = coverage(), unregistered()
        except DatabaseError as exc:
            raise CommandError(f"The database could not be asked: {exc}") from exc
        reads = read_paths()
        holes = [f"{model.label}: {path.name}" for model in covered for path in model.paths if path.is_hole]
        holes += [f"reading the audit log: {path.name}" for path in reads if path.flaw]
        if options["json"]:
            report = {"models": [_members(model) for model in covered], "unregistered": others, "holes": holes}
            report["reads"] = [{"path": path.name, "recorded": not path.flaw, "reason": path.flaw} for path in reads]
            self.stdout.write(json.dumps(report))
        else:
            self.stdout.write("\n".join(_lines(covered, others, reads, holes)))
        if holes:
            raise SystemExit(1)


def _members(model: ModelCoverage) -> dict[str, Any]:
    return {
        "model": model.label,
        "table": model.table,
        "databases": model.aliases,
        "bulk": model.bulk,
        "masked": model.masked,
        "classified": model.classified,
        "unclassified": model.unclassified,
        "excluded": model.excluded,
        "paths": [
            {"path": path.name, "state": path.answer.state, "reason": path.answer.reason or None, "hole": path.is_hole}
            for path in model.paths
        ],
    }


def _lines(
    covered: list[ModelCoverage], others: dict[str, str], reads: list[ReadPath], holes: list[str]
) -> Iterator[str]:
    for model in covered:
        yield f"{model.label}  (table {model.table} on {', '.join(model.aliases)}, bulk={model.bulk})"
        if model.masked:
            yield f"  masked columns: {', '.join(f'{column} ({mask})' for column, mask in model.masked.items())}"
        if model.classified:
            shown = {**model.classified, **dict.fromkeys(model.unclassified, "unclassified")}
            for name in dict.fromkeys(shown.values()):
                yield f"  {name} columns: {', '.join(column for column, given in shown.items() if given == name)}"
        if model.excluded:
            yield f"  excluded columns: {', '.join(model.excluded)}"
        captured = [path.name for path in model.paths if path.answer.state is Coverage.CAPTURED]
        if captured:
            yield f"  captured: {', '.join(captured)}"
        for path in model.paths:
            if path.answer.state is not Coverage.CAPTURED:
                mark = "HOLE " if path.is_hole else ""
                yield f"  {mark}{path.answer.state}: {path.name} ({path.answer.reason})"
        yield ""
    yield "Not registered:"
    yield from (f"  {label}: {reason}" for label, reason in others.items())
    yield ""
    yield "Reading the audit log:"
    yield from (f"  {'HOLE ' if path.flaw else ''}{path.name}: {path.flaw or 'recorded'}" for path in reads)
    yield ""
    yield f"{len(holes)} HOLES: {'; '.join(holes)}" if holes else "No holes other than raw SQL."
