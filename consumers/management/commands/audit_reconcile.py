"""`manage.py audit_reconcile`: prove that no event got lost between the commit and the audit log."""

from __future__ import annotations

import json
import time
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.utils import timezone

from auditlog.partitions import time_of
from auditlog.queries.outbox import oldest
from auditlog.routers import READ_MODEL_ALIAS
from consumers.reconcile import Account, reconcile

POLL_SECONDS = 0.25
# Ids in the sentence for people; --json names all.
NAMED = 10


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Compare the ids of the events that committed (outbox and ledger), that Kafka acknowledged (ledger) and that "
        "the audit log holds. Exit code 0 only if every committed event is stored. Events on their way are given "
        "--wait seconds to arrive. Run it with DATABASE_URL of the role auditlog_reader. The window goes by the time "
        "inside the event ids; by default all that the outbox and the ledger still know."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--from", dest="since", type=_moment, help="ISO 8601 time at which the window begins")
        parser.add_argument("--to", dest="until", type=_moment, help="ISO 8601 time before which it ends; default: now")
        parser.add_argument("--wait", type=float, default=5.0, help="seconds to wait for missing events (%(default)s)")
        parser.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Reconcile, print the account, and fail where something is missing."""
        try:
            since, until = _window(options["since"], options["until"])
            account = _settled(since, until, options["wait"])
        except DatabaseError as exc:
            raise CommandError(f"The events could not be read: {exc}") from exc
        report = _report(account, since, until)
        self.stdout.write(json.dumps(report) if options["json"] else _sentence(account, since, until))
        if account.missing:
            raise SystemExit(1)


def _window(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    # The next millisecond: ids are bounded by milliseconds, and an event of this very one counts.
    end = until or timezone.now() + timedelta(milliseconds=1)
    begin = since or oldest(connections["default"]) or end
    # The id's time is cut to milliseconds.
    return begin.replace(microsecond=begin.microsecond // 1000 * 1000), end


def _settled(since: datetime, until: datetime, wait_seconds: float) -> Account:
    deadline = time.monotonic() + wait_seconds
    while True:
        account = reconcile(
            source=connections["default"], read_model=connections[READ_MODEL_ALIAS], since=since, until=until
        )
        if not account.missing or time.monotonic() >= deadline:
            return account
        time.sleep(POLL_SECONDS)


def _report(account: Account, since: datetime, until: datetime) -> dict[str, Any]:
    return {
        "from": since.isoformat(),
        "to": until.isoformat(),
        "committed": account.committed,
        "published": account.published,
        "stored": account.stored,
        "missing": [str(event_id) for event_id in account.missing],
        "pending": [str(event_id) for event_id in account.pending],
        # Named by the repair that searches the topics; a missing event alone may still be on its topic.
        "unrecoverable": [],
        "unaccounted": len(account.unaccounted),
    }


def _sentence(account: Account, since: datetime, until: datetime) -> str:
    window = f"From {since.isoformat()} to {until.isoformat()}"
    counts = f"{account.committed} committed, {account.published} published, {account.stored} stored"
    lines = [f"{window}: {counts}."]
    if account.missing:
        named = ", ".join(f"{event_id} ({time_of(event_id):%F %T})" for event_id in account.missing[:NAMED])
        more = ", …" if len(account.missing) > NAMED else ""
        waiting = f" {len(account.pending)} of them wait in the outbox." if account.pending else ""
        lines.append(f"{len(account.missing)} MISSING in the audit log: {named}{more}.{waiting}")
    else:
        lines.append("Nothing is missing.")
    if account.unaccounted:
        lines.append(f"{len(account.unaccounted)} stored events are in neither the outbox nor the ledger.")
    return "\n".join(lines)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ArgumentTypeError(f"{text!r} is no ISO 8601 time") from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
