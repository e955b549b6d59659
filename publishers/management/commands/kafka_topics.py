"""`manage.py kafka_topics`: create the topics of the registered models."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from auditlog import topics
from publishers.kafka import BrokersUnavailable, Publisher, create_topics


class Command(BaseCommand):
    """See `help`."""

    help = "Create the Kafka topics that are missing; safe to repeat."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only say what is missing")
        parser.add_argument("--json", action="store_true", help="report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create and report."""
        try:
            existing = Publisher(connection=settings.KAFKA_CONNECTION, source="").topics()
        except BrokersUnavailable as exc:
            raise CommandError(str(exc)) from exc
        missing = [name for name in topics.all_topics() if name not in existing]
        if not options["dry_run"]:
            create_topics(
                connection=settings.KAFKA_CONNECTION,
                names=missing,
                partitions=settings.KAFKA_TOPIC_PARTITIONS,
                replication=settings.KAFKA_TOPIC_REPLICATION_FACTOR,
            )
        report = {"missing": missing, "created": [] if options["dry_run"] else missing}
        lines = [f"{'missing' if options['dry_run'] else 'created'} {name}" for name in missing]
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines or ["all topics exist"]))
