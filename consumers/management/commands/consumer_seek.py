"""`manage.py consumer_seek`: have consumers read again, or skip, in a planned way."""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from auditlog import topics
from consumers import seek, survey
from consumers.faults import ConsumerError
from consumers.kafka import TopicReader
from consumers.moments import moment
from consumers.records import Partition
from consumers.seek import Back, Earliest, Latest, Move, Target, ToOffset, ToTime

BACK = re.compile(r"(\d+)([smhd]?)")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Move the offsets of a consumer group in the database: to read events again, which changes nothing that is "
        "stored, or to skip some. Shows what would happen; --execute does it, with a --reason that becomes an event of "
        "the system itself. Consumers may run meanwhile: they follow."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--group", default=settings.KAFKA_CONSUMER_GROUP, help="consumer group (%(default)s)")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--topic", action="append", dest="topics", help="a topic; may be repeated")
        which.add_argument("--all", action="store_true", help="all topics of the registered models")
        parser.add_argument("--partition", type=int, help="only this partition of the topic")
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--earliest", action="store_true", help="to the first record that the topic has")
        where.add_argument("--latest", action="store_true", help="behind the last record")
        where.add_argument("--to-offset", type=int, metavar="N", help="to this offset")
        where.add_argument("--to-time", type=moment, metavar="TIME", help="to the first record published then or later")
        where.add_argument(
            "--back", type=_back, metavar="N|30m", help="back by N records, or to so long ago: s, m, h, d"
        )
        parser.add_argument("--execute", action="store_true", help="do it; otherwise it is only shown")
        parser.add_argument("--reason", default="", help="why: part of the audit trail; needed with --execute")
        parser.add_argument(
            "--allow-skip", action="store_true", help="also where events are skipped that are not stored"
        )
        parser.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Show the moves, or make them."""
        if options["execute"] and not options["reason"].strip():
            raise CommandError("--execute needs a --reason that says why.")
        try:
            with TopicReader(connection=settings.KAFKA_CONNECTION) as reader:
                moves = _moved(reader, options)
        except ConsumerError as exc:
            raise CommandError(str(exc)) from exc
        except DatabaseError as exc:
            raise CommandError(f"Nothing was moved: {exc}") from exc
        report = {"group": options["group"], "executed": options["execute"], "moves": [one.members() for one in moves]}
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(_lines(moves, done=options["execute"])))


def _moved(reader: TopicReader, options: dict[str, Any]) -> list[Move]:
    plan: dict[str, Any] = {
        "group": options["group"],
        "topics": reader,
        "partitions": _partitions(reader, options),
        "target": _target(options),
    }
    if not options["execute"]:
        return seek.planned(**plan)
    return seek.move(**plan, reason=options["reason"].strip(), allow_skip=options["allow_skip"])


def _partitions(reader: TopicReader, options: dict[str, Any]) -> dict[Partition, tuple[int, int]]:
    names = _registered(reader) if options["all"] else options["topics"]
    if options["partition"] is not None and len(options["topics"] or ()) != 1:
        raise CommandError("--partition needs one --topic.")
    found: dict[Partition, tuple[int, int]] = {}
    for name in names:
        bounds = reader.bounds(name)
        if not bounds:
            raise CommandError(f"There is no topic {name}.")
        found |= bounds
    if options["partition"] is not None:
        found = {partition: bounds for partition, bounds in found.items() if partition.number == options["partition"]}
        if not found:
            raise CommandError(f"{names[0]} has no partition {options['partition']}.")
    return found


def _registered(reader: TopicReader) -> list[str]:
    """Return the topics of the registered models, and those that they were moved to."""
    existing = reader.topics()
    return [name for topic in topics.all_topics() for name in topics.generations(topic, existing)]


def _target(options: dict[str, Any]) -> Target:
    match options:
        case {"earliest": True}:
            return Earliest()
        case {"latest": True}:
            return Latest()
        case {"to_offset": int(offset)}:
            return ToOffset(offset)
        case {"to_time": datetime() as at}:
            return ToTime(at)
        case {"back": timedelta() as ago}:
            return ToTime(timezone.now() - ago)
        case _:
            return Back(options["back"])


def _lines(moves: list[Move], *, done: bool) -> list[str]:
    lines = [_line(one) for one in moves]
    if not moves:
        return ["Every partition is there already."]
    if not done:
        return [*lines, "Nothing was moved: --execute moves."]
    return [*lines, f"Moved. Consumers that run follow within {survey.SECONDS:.0f} seconds."]


def _line(one: Move) -> str:
    start = "beginning" if one.start is None else one.start
    what = f"{one.again} records are read again"
    if one.forward:
        what = f"{len(one.forward)} offsets are SKIPPED, {one.skipped_events} events on them are not stored"
        if one.skipped_gone:
            what += f", {one.skipped_gone} are no longer on the topic"
    return f"{one.partition.topic}[{one.partition.number}]: {start} → {one.end}, {what}."


def _back(text: str) -> int | timedelta:
    found = BACK.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is neither a number nor a duration such as 30m")
    number, unit = int(found[1]), found[2]
    return timedelta(seconds=number * SECONDS[unit]) if unit else number
