"""`manage.py kafka_topics`: plan, create, check and move the topics of the registered models."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from auditlog import topics
from auditlog.stopping import stop_at_signals
from publishers import moving, topic_plan
from publishers.brokers import Brokers, Shape
from publishers.kafka import BrokersUnavailable
from publishers.topic_plan import Plan

TIMEOUT_SECONDS = 10.0
MOVE_SECONDS = 60.0


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Compare the Kafka topics of the registered models with the KAFKA_TOPIC_* settings, create those that are "
        "missing and change the settings that can be changed without harm. What would lose events or their order is "
        "refused: the exit code is 1, and everything else is done. Safe to repeat, and to run twice at once."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--check", action="store_true", help="a dry run that fails where there is anything to do")
        parser.add_argument("--json", action="store_true", help="report as JSON")
        commands = parser.add_subparsers(dest="subcommand", metavar="{move}")
        moving = commands.add_parser(
            "move",
            help="move a topic to a new one with another number of partitions",
            description="Make a new topic, hold events back until what is under way stands on the old one, and go on "
            "with the new one. The topic of a model and its .events move together. Consumers read both.",
        )
        moving.add_argument("topic", help="a topic as kafka_topics names it, without the suffix of an earlier move")
        moving.add_argument("--partitions", type=int, required=True, help="partitions of the new topic")
        moving.add_argument("--reason", required=True, help="why: part of the audit trail")
        moving.add_argument("--timeout", type=float, default=MOVE_SECONDS, help="seconds to wait for the relays")
        moving.add_argument("--dry-run", action="store_true", help="only say where the topic would go")
        moving.add_argument("--json", action="store_true", help="report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it and report."""
        brokers = Brokers(connection=settings.KAFKA_CONNECTION, timeout_seconds=TIMEOUT_SECONDS)
        try:
            if options["subcommand"] == "move":
                report, lines, failed = _move(brokers, options)
            else:
                report, lines, failed = _settle(brokers, options)
        except BrokersUnavailable as exc:
            servers = settings.KAFKA_CONNECTION["bootstrap.servers"]
            raise CommandError(f"{exc}\n(KAFKA_BOOTSTRAP_SERVERS={servers})") from exc
        except DatabaseError as exc:
            raise CommandError(f"Where topics were moved to is in the database, and cannot be read: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines))
        if failed:
            raise CommandError(failed)


def _settle(brokers: Brokers, options: dict[str, Any]) -> tuple[dict[str, Any], list[str], str]:
    plan = _plan(brokers)
    only_look = options["dry_run"] or options["check"]
    failed: dict[str, str] = {}
    if not only_look:
        failed = brokers.create(plan.create)
        changes = {name: {key: new for key, (_, new) in values.items()} for name, values in plan.alter.items()}
        failed |= brokers.alter(changes)
    created = [] if only_look else [name for name in plan.create if name not in failed]
    report = {
        "missing": list(plan.create),
        "created": created,
        "differing": {name: {key: list(pair) for key, pair in values.items()} for name, values in plan.alter.items()},
        "altered": [] if only_look else [name for name in plan.alter if name not in failed],
        "refused": {name: list(reasons) for name, reasons in plan.refused.items()},
        "failed": failed,
    }
    problems = [f"{name}: {reason}" for name, reason in failed.items()]
    problems += [f"{name} {reason}" for name, reasons in plan.refused.items() for reason in reasons]
    if problems:
        return report, _diff(plan), "Not all topics are as they should be:\n  " + "\n  ".join(problems)
    return report, _diff(plan), "There is something to do." if options["check"] and not plan.is_empty else ""


def _plan(brokers: Brokers) -> Plan:
    wanted: dict[str, Shape] = {}
    left: dict[str, Shape] = {}
    routes = moving.routes()
    existing = brokers.names()
    for topic in topics.all_topics():
        route = routes.get(topic)
        current = route.target if route else topic
        wanted[current] = _shape(route.partitions if route and route.partitions else settings.KAFKA_TOPIC_PARTITIONS)
        left |= {name: _shape(1) for name in topics.generations(topic, existing) if name != current}
    return topic_plan.plan(wanted=wanted, left=left, found=brokers.find(wanted.keys() | left.keys()))


def _shape(partitions: int) -> Shape:
    return topic_plan.shape(
        partitions=partitions,
        replication=settings.KAFKA_TOPIC_REPLICATION_FACTOR,
        in_sync=settings.KAFKA_TOPIC_MIN_INSYNC_REPLICAS,
        largest_bytes=settings.KAFKA_TOPIC_MAX_MESSAGE_BYTES,
        retention_days=settings.KAFKA_TOPIC_RETENTION_DAYS,
    )


def _diff(plan: Plan) -> list[str]:
    """Return the plan as lines: what is added, what changes, what is refused."""
    lines = [
        f"+ {name}: {shape.partitions} partitions, {shape.replication} copies, "
        + ", ".join(f"{key}={value}" for key, value in shape.settings.items())
        for name, shape in plan.create.items()
    ]
    lines += [
        f"~ {name}: {key} {old or 'unset'} -> {new}"
        for name, values in plan.alter.items()
        for key, (old, new) in values.items()
    ]
    lines += [f"! {name} {reason}" for name, reasons in plan.refused.items() for reason in reasons]
    return lines or ["All topics are as they should be."]


def _move(brokers: Brokers, options: dict[str, Any]) -> tuple[dict[str, Any], list[str], str]:
    reason, partitions = options["reason"].strip(), options["partitions"]
    if not reason:
        raise CommandError("--reason must say why.")
    if partitions < 1:
        raise CommandError("--partitions must be 1 or more.")
    targets = _targets(options["topic"], brokers)
    report = {"topics": targets, "partitions": partitions, "moved": not options["dry_run"]}
    lines = [f"{topic} -> {target}, {partitions} partitions" for topic, target in targets.items()]
    if options["dry_run"]:
        return report, lines, ""
    refused = brokers.create({target: _shape(partitions) for target in targets.values()})
    if refused:
        reasons = "\n  ".join(f"{name}: {text}" for name, text in refused.items())
        raise CommandError(f"Nothing was moved, the brokers did not create:\n  {reasons}")
    try:
        with stop_at_signals() as stop:
            moving.move(targets, partitions=partitions, reason=reason, timeout_seconds=options["timeout"], stop=stop)
    except moving.NotMoved as exc:
        raise CommandError(f"Nothing was moved. {exc}") from exc
    return report, lines, ""


def _targets(topic: str, brokers: Brokers) -> dict[str, str]:
    """Return where a topic, and what belongs to it, would go: to the first number that none of them ever had."""
    known = topics.all_topics()
    base = topic.removesuffix(topics.EVENTS_SUFFIX)
    moved = [name for name in (base, base + topics.EVENTS_SUFFIX) if name in known]
    if topic not in known:
        raise CommandError(f"No registered model has the topic {topic}; these are known:\n  " + "\n  ".join(known))
    existing = brokers.names() | set(known)
    number = 2
    while any(topics.generation(name, number) in existing for name in moved):
        number += 1
    return {name: topics.generation(name, number) for name in moved}
