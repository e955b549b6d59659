"""`manage.py audit_replay`: build the audit log again from the topics, or a topic from the audit log."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from auditlog import topics
from auditlog.completeness.command import progress_bar
from auditlog.partitions import EPOCH
from auditlog.routers import READ_MODEL_ALIAS
from auditlog.stopping import Stop, stop_at_signals
from auditlog.vocabulary import Action
from consumers import decisions, originals, replay
from consumers.faults import ConsumerError
from consumers.kafka import TopicReader, TopicWriter, partition_of
from consumers.moments import moment
from consumers.originals import WithoutShape
from consumers.projector import Projector

GROUP_PREFIX = "replay-"


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Store what is on the topics and not in the audit log (read-model), or fill an empty topic out of the audit "
        "log with the same records (topic). Both may be stopped and go on later; nothing is stored or written twice."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{read-model,topic}")
        filling = commands.add_parser("read-model", help="from the topics into the audit log")
        which = filling.add_mutually_exclusive_group(required=True)
        which.add_argument("--topic", action="append", dest="topics", help="a topic; may be repeated")
        which.add_argument("--all", action="store_true", help="all topics of the registered models")
        filling.add_argument("--name", help="of an interrupted replay, to go on with it")
        writing = commands.add_parser("topic", help="from the audit log into a topic that is empty")
        writing.add_argument("--topic", required=True, help="the topic")
        for command in (filling, writing):
            command.add_argument("--from", dest="since", type=moment, help="only what is dated from this ISO 8601 time")
            command.add_argument("--to", dest="until", type=moment, help="only what is dated before this time")
            command.add_argument("--reason", required=True, help="why: part of the audit trail")
            command.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Replay until everything is done or a signal comes."""
        options["reason"] = options["reason"].strip()
        if not options["reason"]:
            raise CommandError("--reason must say why.")
        run = _fill if options["subcommand"] == "read-model" else _write
        try:
            with TopicReader(connection=settings.KAFKA_CONNECTION) as reader, stop_at_signals() as stop:
                report = run(reader, stop, options)
        except (ConsumerError, WithoutShape) as exc:
            raise CommandError(f"{exc} {_again(options)}") from exc
        except DatabaseError as exc:
            raise CommandError(f"The database refused: {exc} {_again(options)}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else _sentence(report))
        if stop.is_set():
            raise CommandError(f"Stopped. {_again(options)}")


def _fill(reader: TopicReader, stop: Stop, options: dict[str, Any]) -> dict[str, Any]:
    options["name"] = options["name"] or f"{timezone.now():%Y%m%dT%H%M%S}"
    wanted = [
        span
        for topic in _chosen(reader, options)
        for span in replay.spans(reader, topic, since=options["since"], until=options["until"])
    ]
    places = [
        {"topic": s.partition.topic, "partition": s.partition.number, "from": s.start, "to": s.end} for s in wanted
    ]
    _record(Action.AUDIT_LOG_REPLAYED, {"name": options["name"], "places": places}, options["reason"])
    projector = Projector(group=GROUP_PREFIX + options["name"])
    count: Counter[str] = Counter(stored=0, repeated=0, dead_letters=0)
    batches = replay.to_read_model(wanted, reader=reader, projector=projector, batch_rows=settings.CONSUMER_BATCH_ROWS)
    with progress_bar("Replaying") as bar:
        bar.begin(options["name"], total=sum(span.end - span.start for span in wanted))
        for progress in batches:
            stored = progress.stored
            count.update(stored=stored.events, repeated=stored.repeated, dead_letters=stored.dead_letters)
            bar.update(count.total())
            if stop.is_set():
                break
    return {"name": options["name"], "read": count.total(), **count}


def _chosen(reader: TopicReader, options: dict[str, Any]) -> list[str]:
    existing = reader.topics()
    if options["all"]:
        return [name for topic in topics.all_topics() for name in topics.generations(topic, existing)]
    names: list[str] = options["topics"]
    if unknown := set(names) - existing:
        raise CommandError(f"There is no topic {', '.join(sorted(unknown))}.")
    return names


def _write(reader: TopicReader, stop: Stop, options: dict[str, Any]) -> dict[str, Any]:
    topic = options["topic"]
    bounds = reader.bounds(topic)
    if not bounds:
        raise CommandError(f"There is no topic {topic}.")
    since = options["since"] or EPOCH
    until = options["until"] or timezone.now() + timedelta(days=1)
    data = {"topic": topic, "from": since.isoformat(), "to": until.isoformat()}
    _record(Action.TOPIC_REPLAYED, data, options["reason"])
    count: Counter[str] = Counter(found=0, written=0)
    with ExitStack() as readers, progress_bar("Writing") as bar:
        there = {}
        for partition, (first, end) in bounds.items():
            one = readers.enter_context(TopicReader(connection=settings.KAFKA_CONNECTION))
            there[partition.number] = one.read(partition, start=first, end=end)
        bar.begin(topic, total=None)
        records = originals.of_topic(connections[READ_MODEL_ALIAS], topic=topic, since=since, until=until)
        steps = replay.to_topic(
            records,
            there=there,
            partition_of=partial(partition_of, partitions=len(bounds)),
            write=TopicWriter(connection=settings.KAFKA_CONNECTION).write,
        )
        for found, written in steps:
            count.update(found=found, written=written)
            bar.update(count.total())
            if stop.is_set():
                break
    return {"topic": topic, **count}


def _record(action: Action, data: dict[str, Any], reason: str) -> None:
    with transaction.atomic(using=READ_MODEL_ALIAS):
        decisions.record(action=action, data=data, reason=reason)


def _sentence(report: dict[str, Any]) -> str:
    if "topic" in report:
        return "{written} records written to {topic}; {found} were there.".format(**report)
    return "{read} records read: {stored} stored, {repeated} stored before, {dead_letters} dead letters.".format(
        **report
    )


def _again(options: dict[str, Any]) -> str:
    """Return how to go on."""
    words = ["manage.py", "audit_replay", options["subcommand"]]
    words += ["--all"] if options.get("all") else []
    names = options.get("topics") or [options["topic"]] if not options.get("all") else []
    words += [word for name in names for word in ("--topic", name)]
    for option, value in (("--from", options["since"]), ("--to", options["until"])):
        words += [option, value.isoformat()] if value is not None else []
    words += ["--name", options["name"]] if options.get("name") else []
    return f"Go on with: {shlex.join([*words, '--reason', options['reason']])}"
