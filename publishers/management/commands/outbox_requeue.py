"""`manage.py outbox_requeue`: look at parked events, publish them after all, or drop them."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.db.models import QuerySet

from auditlog.models import OutboxEvent
from auditlog.text import clean
from auditlog.topics import blobs_topic
from publishers import parked
from publishers.brokers import Brokers
from publishers.kafka import BrokersUnavailable
from publishers.topic_plan import Setting

LISTED = 100
TIMEOUT_SECONDS = 10.0


class Command(BaseCommand):
    """See `help`."""

    help = (
        "List the events that the broker refused for good, publish them after all (retry), without their largest "
        "values where they are too large (--offload), or remove them (drop). Each decision needs a reason and "
        "is an event of the system itself."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{list,retry,drop}")
        listing = commands.add_parser("list", help="list parked events, oldest first")
        listing.add_argument("--topic", help="only those of this topic")
        listing.add_argument("--limit", type=int, default=LISTED, help="at most so many (%(default)s)")
        listing.add_argument("--json", action="store_true", help="print a JSON report")
        for name, text in (("retry", "publish after all"), ("drop", "remove for good: they will be nowhere")):
            deciding = commands.add_parser(name, help=text)
            which = deciding.add_mutually_exclusive_group(required=True)
            which.add_argument("--id", type=int, action="append", dest="ids", help="an id of the list; may be repeated")
            which.add_argument("--topic", help="all parked events of this topic")
            if name == "retry":
                which.add_argument("--all", action="store_true", help="all parked events")
                deciding.add_argument(
                    "--offload", action="store_true", help="let what is too large give up its largest values first"
                )
                deciding.add_argument(
                    "--max-bytes",
                    type=int,
                    help="bytes of a record, with --offload (default: what the topic takes)",
                )
            deciding.add_argument("--reason", required=True, help="why: part of the audit trail")
            deciding.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print, or decide."""
        try:
            if options["subcommand"] == "list":
                report, lines = _listed(parked.parked(topic=options["topic"]), limit=options["limit"])
            else:
                report, lines = _decided(options)
        except DatabaseError as exc:
            raise CommandError(f"Nothing was changed, the database refused: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines))


def _listed(found: QuerySet[OutboxEvent], *, limit: int) -> tuple[dict[str, Any], list[str]]:
    if limit < 1:
        raise CommandError("--limit must be 1 or more.")
    total, events = found.count(), list(found.defer("value")[:limit])
    lines = [
        f"{event.id:>12}  {event.parked_at:%F %T%z}  {event.parked_reason:<24} {event.topic}  {clean(event.key)}"
        for event in events
    ]
    lines.append(f"{len(events)} of {total} parked events." if total else "No event is parked.")
    return {"results": [_summary(event) for event in events], "count": total}, lines


def _summary(event: OutboxEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "event_id": str(event.event_id),
        "topic": event.topic,
        "key": event.key,
        "reason": event.parked_reason,
        "parked_at": event.parked_at and event.parked_at.isoformat(),
    }


def _decided(options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    reason = options["reason"].strip()
    if not reason:
        raise CommandError("--reason must say why.")
    if options.get("max_bytes") is not None and not options["offload"]:
        raise CommandError("--max-bytes goes with --offload.")
    which = {"reason": reason, "ids": options["ids"], "topic": options["topic"]}
    try:
        if options["subcommand"] == "drop":
            word, event_ids = "dropped", parked.drop(**which)
        elif options["offload"]:
            limits = _limits(options["topic"], max_bytes=options["max_bytes"])
            word, event_ids = "offloaded", parked.offload(limits=limits, **which)
        else:
            word, event_ids = "requeued", parked.retry(**which)
    except (parked.NotParked, parked.CannotShrink, BrokersUnavailable) as exc:
        raise CommandError(f"Nothing was changed. {exc}") from exc
    return {word: [str(event_id) for event_id in event_ids]}, [f"{len(event_ids)} events {word}."]


def _limits(topic: str | None, *, max_bytes: int | None) -> dict[str, int]:
    """Return what the topics of parked events take, and that of their contents."""
    names = {*parked.parked(topic=topic).order_by().values_list("topic", flat=True).distinct(), blobs_topic()}
    if max_bytes is not None:
        return dict.fromkeys(names, max_bytes)
    found = Brokers(connection=settings.KAFKA_CONNECTION, timeout_seconds=TIMEOUT_SECONDS).find(names)
    untold = [name for name in names if name not in found or found[name].settings is None]
    if untold:
        raise CommandError(f"Nobody says how much these topics take, name --max-bytes: {', '.join(sorted(untold))}.")
    return {name: int((found[name].settings or {})[Setting.LARGEST]) for name in names}
