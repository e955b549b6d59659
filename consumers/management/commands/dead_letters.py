"""`manage.py dead_letters`: look at the records that could not become events, and decide about them."""

from __future__ import annotations

import argparse
import base64
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from auditlog.stopping import stop_at_signals
from consumers.faults import ConsumerError
from consumers.models import DeadLetter
from consumers.projector import Projector
from consumers.reasons import DeadLetterReason, Decision
from consumers.requeue import Selection, discard, requeue


class Command(BaseCommand):
    """See `help`."""

    help = (
        "List the records of the topics that could not become events, newest first, show one of them whole, try them "
        "again (requeue), or let them be (discard). Each decision needs a reason and is an event of the system itself."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        parser.add_argument("--json", action="store_true", help=_JSON_HELP)
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{list,show,requeue,discard}")
        listing = commands.add_parser("list", help="list dead letters, newest first")
        listing.add_argument("--topic", help="only those of this topic")
        listing.add_argument("--kind", "--reason", choices=_KINDS, help="only those that have this error")
        listing.add_argument("--open", action="store_true", help="only those about which nobody has decided")
        listing.add_argument("--limit", type=int, default=100, help="at most so many (%(default)s)")
        showing = commands.add_parser("show", help="show one dead letter with its key, headers and value")
        showing.add_argument("id", type=int, help="its id in the list")
        requeueing = commands.add_parser("requeue", help="try open ones again: what can be stored now is stored")
        discarding = commands.add_parser("discard", help="mark open ones as no events; their rows stay")
        for command in (requeueing, discarding):
            _add_selection(command)
        for command in (listing, showing, requeueing, discarding):
            # Understood before and after the subcommand; SUPPRESS keeps the one from undoing the other.
            command.add_argument("--json", action="store_true", default=_SUPPRESS, help=_JSON_HELP)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print what was asked for, or decide."""
        try:
            match options["subcommand"]:
                case "list":
                    report, lines = self._list(options)
                case "show":
                    report, lines = self._show(options["id"])
                case _:
                    report, lines = _decided(options)
        except DatabaseError as exc:
            raise CommandError(f"The dead letters could not be read or changed: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines))
        if report.get("refused"):
            raise SystemExit(1)

    def _list(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        if options["limit"] < 1:
            raise CommandError("--limit must be 1 or more.")
        letters = DeadLetter.objects.defer("key", "value", "headers").order_by("-at", "-id")
        if options["topic"]:
            letters = letters.filter(topic=options["topic"])
        if options["kind"]:
            letters = letters.filter(reason=options["kind"])
        if options["open"]:
            letters = letters.filter(decision__isnull=True)
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
            "decided_at": letter.decided_at and letter.decided_at.isoformat(),
            "decided_by": letter.decided_by,
            "decided_because": letter.decided_because,
            "headers": letter.headers,
            **_content("key", letter.key),
            **_content("value", letter.value),
        }
        return report, [f"{name}: {value}" for name, value in report.items()]


_JSON_HELP = "print a JSON report"
_SUPPRESS = argparse.SUPPRESS
_KINDS = [reason.value for reason in DeadLetterReason]
_LINE = "{id:>8}  {at}  {reason:<20} {state:<10} {topic}[{partition}]@{offset}  {detail}"


def _add_selection(command: argparse.ArgumentParser) -> None:
    command.add_argument("--id", type=int, action="append", dest="ids", help="an id of the list; may be repeated")
    command.add_argument("--topic", help="those of this topic")
    command.add_argument("--partition", type=int, help="only those of this partition; needs --topic")
    command.add_argument("--offset", type=int, help="only the one at this offset; needs --partition")
    command.add_argument("--kind", choices=_KINDS, help="those that have this error")
    command.add_argument("--all", action="store_true", help="all open ones")
    command.add_argument("--reason", required=True, help="why: part of the audit trail")


def _selection(options: dict[str, Any]) -> Selection:
    names = ("topic", "partition", "offset", "kind")
    topic, partition, offset, kind = (options[name] for name in names)
    narrowed = any(options[name] is not None for name in ("ids", *names))
    if options["all"] == narrowed:
        raise CommandError(
            "Name dead letters by --id, --topic, --partition, --offset or --kind, or take --all of them."
        )
    if (partition is not None and topic is None) or (offset is not None and partition is None):
        raise CommandError("--offset needs --partition, which needs --topic.")
    return Selection(tuple(options["ids"] or ()), topic, partition, offset, kind)


def _decided(options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Decide batch by batch, until a signal; what was decided stays so."""
    reason = options["reason"].strip()
    if not reason:
        raise CommandError("--reason must say why.")
    selection, requeueing = _selection(options), options["subcommand"] == "requeue"
    word = Decision.REQUEUED if requeueing else Decision.DISCARDED
    projector = Projector(group=settings.KAFKA_CONSUMER_GROUP)
    batches = (
        requeue(selection, projector=projector, reason=reason) if requeueing else discard(selection, reason=reason)
    )
    decided: list[int] = []
    refused: list[int] = []
    with stop_at_signals() as stop:
        try:
            for batch in batches:
                decided += batch.decided
                refused += batch.refused
                if stop.is_set():
                    raise CommandError(f"Stopped after {len(decided)} dead letters were {word}; run it again.")
        except ConsumerError as exc:
            raise CommandError(f"{exc} {len(decided)} dead letters were {word} before.") from exc
    lines = [f"{len(decided)} dead letters {word}."]
    if refused:
        lines.append(f"{len(refused)} can still not be stored, see dead_letters list: {', '.join(map(str, refused))}.")
    report: dict[str, Any] = {word.value: decided}
    return report | ({"refused": refused} if requeueing else {}), lines


def _summary(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.pk,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "at": letter.at.isoformat(),
        "state": letter.decision or "open",
    }


def _content(name: str, content: bytes | memoryview | None) -> dict[str, str | None]:
    """Return bytes as text where they are text, else as base64 under another name."""
    if content is None:
        return {name: None}
    try:
        return {name: bytes(content).decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(bytes(content)).decode()}
