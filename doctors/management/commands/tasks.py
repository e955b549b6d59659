"""`manage.py tasks`: look at background tasks, and have those that were given up tried again."""

from __future__ import annotations

import argparse
import json
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import Count
from django.utils import timezone
from django_tasks.base import TaskResultStatus
from django_tasks_db.models import DBTaskResult

from doctors.background import queue

_JSON_HELP = "print a JSON report"
_LINE = "{id}  {status:<10}  {task:<40}  attempts {attempts:<3} {error}"


class Command(BaseCommand):
    """See `help`."""

    help = (
        "List background tasks, newest first, with how many there are in each state; or let those that were given up "
        "be tried again."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        parser.add_argument("--json", action="store_true", help=_JSON_HELP)
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{list,retry}")
        listing = commands.add_parser("list", help="list tasks, newest first")
        states = [status.value.lower() for status in TaskResultStatus]
        listing.add_argument("--status", choices=states, help="only those in this state")
        listing.add_argument("--limit", type=int, default=100, help="at most so many (%(default)s)")
        retrying = commands.add_parser("retry", help="give failed tasks all their attempts again")
        retrying.add_argument("ids", nargs="*", type=uuid.UUID, metavar="ID", help="ids in the list")
        retrying.add_argument("--all-failed", action="store_true", help="all that failed")
        for command in (listing, retrying):
            # Understood before and after the subcommand; SUPPRESS keeps the one from undoing the other.
            command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=_JSON_HELP)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print what was asked for, or what was done."""
        try:
            report, lines = self._list(options) if options["subcommand"] == "list" else self._retry(options)
        except DatabaseError as exc:
            raise CommandError(f"The tasks could not be read: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines))

    def _list(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        if options["limit"] < 1:
            raise CommandError("--limit must be 1 or more.")
        tasks = DBTaskResult.objects.order_by("-enqueued_at")
        known = dict(tasks.order_by().values_list("status").annotate(Count("pk")))
        counts = {status.value.lower(): known.get(status.value, 0) for status in TaskResultStatus}
        if options["status"]:
            tasks = tasks.filter(status=options["status"].upper())
        results = [_summary(task) for task in tasks[: options["limit"]]]
        lines = [_LINE.format(**result) for result in results]
        lines.append(", ".join(f"{count} {status}" for status, count in counts.items()))
        return {"counts": counts, "results": results}, lines

    def _retry(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        if bool(options["ids"]) == options["all_failed"]:
            raise CommandError("Name the tasks to be tried again, or give --all-failed.")
        failed = DBTaskResult.objects.failed().values_list("pk", flat=True)
        asked = list(failed) if options["all_failed"] else options["ids"]
        if strangers := sorted(str(one) for one in set(asked) - set(failed)):
            raise CommandError(f"These tasks did not fail: {', '.join(strangers)}")
        count = queue.retry(asked, now=timezone.now())
        return {"retried": count}, [f"{count} tasks will be tried again."]


def _summary(task: queue.Entry) -> dict[str, Any]:
    return {
        "id": str(task.pk),
        "task": task.task_path,
        "status": task.status.lower(),
        "attempts": len(task.worker_ids),
        "enqueued_at": task.enqueued_at.isoformat(),
        "finished_at": task.finished_at.isoformat() if task.finished_at else None,
        "error": task.exception_class_path,
    }
