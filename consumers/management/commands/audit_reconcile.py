"""`manage.py audit_reconcile`: prove that no event got lost between the commit and the audit log."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from prometheus_client import start_http_server

from auditlog.heartbeat import RunLoop, heartbeat
from auditlog.queries import accounts
from auditlog.queries.accounts import Window
from auditlog.routers import READ_MODEL_ALIAS
from auditlog.stopping import stop_at_signals
from consumers import metrics
from consumers.faults import ConsumerError
from consumers.kafka import TopicReader, TopicWriter
from consumers.moments import moment
from consumers.projector import Projector
from consumers.reconciliation.account import account_of
from consumers.reconciliation.chains import Chains, NoSuchGap, explain
from consumers.reconciliation.comparison import NAMED_AT_MOST, Sides
from consumers.reconciliation.forgotten import Changed, Forgotten
from consumers.reconciliation.loop import ProofLoop
from consumers.reconciliation.memory import Memory
from consumers.reconciliation.on_topic import TopicSide
from consumers.reconciliation.repair import Repair, Repaired
from consumers.reconciliation.report import Report
from consumers.reconciliation.rounds import Rounds

POLL_SECONDS = 0.25


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Compare the ids of the events that committed (outbox and ledger), that Kafka acknowledged (ledger) and that "
        "the audit log holds. Exit code 0 only if every committed event is stored. Events on their way are given "
        "--wait seconds to arrive. The window goes by the time inside the event ids; by default all that the outbox "
        "and the ledger still know. Reading needs the role auditlog_reader; --every remembers what it compared, with "
        "AUDIT_DATABASE_URL of auditlog_consumer; --repair also tells why, with DATABASE_URL of auditlog_relay."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--from", dest="since", type=moment, help="ISO 8601 time at which the window begins")
        parser.add_argument("--to", dest="until", type=moment, help="ISO 8601 time before which it ends; default: now")
        parser.add_argument("--wait", type=float, default=5.0, help="seconds to wait for missing events (%(default)s)")
        parser.add_argument("--topics", action="store_true", help="read the topics too: are the published events there")
        parser.add_argument(
            "--repair",
            action="store_true",
            help="restore missing events out of the topics; with --topics also onto them",
        )
        parser.add_argument("--chains", action="store_true", help="check the chains of images of the objects too")
        parser.add_argument("--explain", type=UUID, metavar="EVENT", help="say why there is a gap before this event")
        parser.add_argument(
            "--reason", default="", help="why it is repaired, or why there is a gap: part of the audit trail"
        )
        parser.add_argument(
            "--every", type=float, metavar="SECONDS", help="go on until a signal: compare what has passed since"
        )
        parser.add_argument(
            "--metrics-port", type=int, default=0, help="with --every: serve Prometheus metrics here; 0: nowhere"
        )
        parser.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Reconcile, print the report, and fail where something is missing."""
        _check(options)
        sides = Sides(connections["default"], connections[READ_MODEL_ALIAS])
        if options["every"] is not None:
            _prove(sides, every_seconds=options["every"], metrics_port=options["metrics_port"])
            return
        try:
            if options["explain"]:
                explain(sides, event_id=options["explain"], reason=options["reason"].strip())
                return
            report = _compared(sides, options)
        except NoSuchGap as exc:
            raise CommandError(str(exc)) from exc
        except (DatabaseError, ConsumerError) as exc:
            raise CommandError(f"The events could not be read: {exc}") from exc
        self.stdout.write(json.dumps(report.members()) if options["json"] else report.sentences())
        if not report.is_whole:
            raise SystemExit(1)


def _check(options: dict[str, Any]) -> None:
    if (options["repair"] or options["explain"]) and not options["reason"].strip():
        raise CommandError("--repair and --explain need a --reason: it is part of the audit trail.")
    if options["every"] is not None and (
        options["repair"] or options["topics"] or options["since"] or options["until"]
    ):
        raise CommandError("--every compares what has passed since its last round, and repairs nothing.")
    if options["every"] is not None and options["every"] <= 0:
        raise CommandError("--every must be more than 0 seconds.")


def _compared(sides: Sides, options: dict[str, Any]) -> Report:
    report = _settled(sides, options)
    report.forgotten = _changed(sides, options)
    if options["chains"]:
        chains = Chains(sides)
        unexplained = (
            gap
            for gap in chains.gaps(Window(options["since"] or report.window.since, report.window.until))
            if not chains.is_explained(gap)
        )
        report.gaps = list(islice(unexplained, NAMED_AT_MOST))
    if not options["topics"] and not options["repair"]:
        return report
    with TopicReader(connection=settings.KAFKA_CONNECTION) as reader:
        topics = TopicSide(reader, sides.source, sides.read_model)
        if options["topics"]:
            report.lost_on_topic = topics.all_lost(report.window)
        if options["repair"]:
            _repair(report, topics, sides, options)
    return report


def _settled(sides: Sides, options: dict[str, Any]) -> Report:
    window, accounted_since = _window(sides, options["since"], options["until"])
    deadline = time.monotonic() + options["wait"]
    account = account_of(sides, window)
    while account.missing and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        account.look_again(sides, window)
    return Report(window, account, accounted_since)


def _window(sides: Sides, since: datetime | None, until: datetime | None) -> tuple[Window, datetime | None]:
    """Return what is compared, and where the ledger begins if that is later than asked for."""
    # The next millisecond of the database's clock: ids are bounded by milliseconds, and an event of this one counts.
    end = until or accounts.mark(sides.source).at + timedelta(milliseconds=1)
    begin = since or accounts.oldest(sides.source) or end
    accounted = accounts.accounted_since(sides.source)
    if accounted is not None and begin < accounted:
        return Window(min(accounted, end), end), accounted
    # The id's time is cut to milliseconds.
    return Window(begin.replace(microsecond=begin.microsecond // 1000 * 1000), end), None


def _changed(sides: Sides, options: dict[str, Any]) -> list[Changed]:
    """Return what is not what it was, of the time that the ledger has forgotten."""
    accounted = accounts.accounted_since(sides.source)
    if accounted is None:
        return []
    until = min(accounted, options["until"] or accounted)
    return Forgotten(Memory(sides.read_model)).changed(since=options["since"], until=until)


def _repair(report: Report, topics: TopicSide, sides: Sides, options: dict[str, Any]) -> None:
    projector = Projector(group="repair", alias=sides.read_model.alias)
    repair = Repair(topics, projector, TopicWriter(connection=settings.KAFKA_CONNECTION), options["reason"].strip())
    report.repaired = Repaired()
    repair.read_model(report.account.lost_by_topic, report.window, report.repaired)
    repair.topic({topic: ids.named for topic, ids in report.lost_on_topic.items()}, report.repaired)
    report.account.look_again(sides, report.window)
    for topic, window, event_ids in Forgotten(Memory(sides.read_model)).missing(report.forgotten, topics):
        repair.read_model({topic: event_ids}, window, report.repaired)
    report.forgotten = _changed(sides, options)
    if report.lost_on_topic:
        report.lost_on_topic = topics.all_lost(report.window)


def _prove(sides: Sides, *, every_seconds: float, metrics_port: int) -> None:
    if metrics_port:
        start_http_server(metrics_port)
    with stop_at_signals(second_ends=False) as stop, heartbeat(RunLoop.RECONCILER, gauge=metrics.LAST_PROOF) as alive:
        ProofLoop(Rounds(sides, Memory(sides.read_model)), every_seconds, stop, alive.beat).run()
