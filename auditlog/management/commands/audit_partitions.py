"""`manage.py audit_partitions`: make the read model's partitions ahead of time."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.utils import timezone

from auditlog import partitions
from auditlog.routers import READ_MODEL_ALIAS

MAXIMUM_MONTHS_AHEAD = 24


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Make the audit log's monthly partitions for this month and the months ahead. Run it from time to time as the "
        "tables' owner (AUDIT_DATABASE_OWNER_URL or DATABASE_OWNER_URL); safe to repeat and to run twice at once. The "
        "consumer makes a missing month by itself, so that a late run loses nothing."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--months-ahead",
            type=int,
            default=settings.AUDITLOG_PARTITION_MONTHS_AHEAD,
            help=f"months after the current one, 0 to {MAXIMUM_MONTHS_AHEAD} (default: %(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make what is missing, and say what was made."""
        ahead: int = options["months_ahead"]
        if not 0 <= ahead <= MAXIMUM_MONTHS_AHEAD:
            raise CommandError(f"--months-ahead must be 0 to {MAXIMUM_MONTHS_AHEAD}.")
        connection = connections[READ_MODEL_ALIAS]
        try:
            made = partitions.ensure(connection, partitions.months(start=timezone.now(), count=ahead + 1))
            report = {"created": made, "partitions": partitions.existing(connection)}
        except DatabaseError as exc:
            raise CommandError(f"The partitions could not be made: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else _sentence(report))


def _sentence(report: dict[str, list[str]]) -> str:
    made, known = report["created"], report["partitions"]
    done = f"Made {', '.join(made)}." if made else "Nothing was missing."
    return f"{done} The audit log has {len(known)} partitions, from {known[0]} to {known[-1]}."
