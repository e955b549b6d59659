"""`manage.py dead_letters`: look at the records that could not become events."""

from __future__ import annotations

import argparse
import base64
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from consumers.models import DeadLetter
from consumers.reasons import DeadLetterReason


class Command(BaseCommand):
    """See `help`."""

    help = "List the records of the topics that could not become events, newest first, or show one of them whole."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        parser.add_argument("--json", action="store_true", help=_JSON_HELP)
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{list,show}")
        listing = commands.add_parser("list", help="list dead letters, newest first")
        listing.add_argument("--topic", help="only those of this topic")
        listing.add_argument("--reason", choices=[reason.value for reason in DeadLetterReason], help="only these")
        listing.add_argument("--limit", type=int, default=100, help="at most so many (%(default)s)")
        showing = commands.add_parser("show", help="show one dead letter with its key, headers and value")
        showing.add_argument("id", type=int, help="its id in the list")
        for command in (listing, showing):
            # Understood before and after the subcommand; SUPPRESS keeps the one from undoing the other.
            command.add_argument("--json", action="store_true", default=_SUPPRESS, help=_JSON_HELP)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print what was asked for."""
        try:
            report, lines = self._list(options) if options["subcommand"] == "list" else self._show(options["id"])
        except DatabaseError as exc:
            raise CommandError(f"The dead letters could not be read: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines))

    def _list(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        if options["limit"] < 1:
            raise CommandError("--limit must be 1 or more.")
        letters = DeadLetter.objects.defer("key", "value", "headers").order_by("-at", "-id")
        if options["topic"]:
            letters = letters.filter(topic=options["topic"])
        if options["reason"]:
            letters = letters.filter(reason=options["reason"])
        total = letters.count()
        results = [_summary(letter) for letter in letters[: options["limit"]]]
        lines = [_LINE.format(**result) for result in results]
        lines.append(f"{len(results)} of {total} dead letters." if total else "There are no dead letters.")
        return {"results": results, "count": total}, lines

    def _show(self, letter_id: int) -> tuple[dict[str, Any], list[str]]:
        letter = DeadLetter.objects.filter(pk=letter_id).first()
        if letter is None:
            raise CommandError(f"There is no dead letter {letter_id}.")
        report = {
            **_summary(letter),
            "headers": letter.headers,
            **_content("key", letter.key),
            **_content("value", letter.value),
        }
        return report, [f"{name}: {value}" for name, value in report.items()]


_JSON_HELP = "print a JSON report"
_SUPPRESS = argparse.SUPPRESS
_LINE = "{id:>8}  {at}  {reason:<20} {topic}[{partition}]@{offset}  {detail}"


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.pk,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "at": letter.at.isoformat(),
    }


def _content(name: str, content: bytes | memoryview | None) -> dict[str, str | None]:
    """Return bytes as text where they are text, else as base64 under another name."""
    if content is None:
        return {name: None}
    try:
        return {name: bytes(content).decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(bytes(content)).decode()}
