"""`manage.py kafka_topics`: create the topics of the registered models."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from auditlog import topics
from publishers.kafka import BrokersUnavailable, TopicsRefused, create_topics, existing_topics

TIMEOUT_SECONDS = 10.0


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Create the Kafka topics of the registered models that are missing, keeping everything for ever, and wait "
        "until they can be seen. Safe to repeat; a topic that exists is left as it is. Partitions, replication and "
        "min.insync.replicas come from the KAFKA_TOPIC_* settings."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="only say what is missing")
        parser.add_argument("--json", action="store_true", help="report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create and report."""
        wanted = topics.all_topics()
        try:
            existing = existing_topics(connection=settings.KAFKA_CONNECTION, timeout_seconds=TIMEOUT_SECONDS)
            missing = [name for name in wanted if name not in existing]
            if not options["dry_run"]:
                create_topics(
                    connection=settings.KAFKA_CONNECTION,
                    names=missing,
                    partitions=settings.KAFKA_TOPIC_PARTITIONS,
                    replication=settings.KAFKA_TOPIC_REPLICATION_FACTOR,
                    in_sync=settings.KAFKA_TOPIC_MIN_INSYNC_REPLICAS,
                )
        except (BrokersUnavailable, TopicsRefused) as exc:
            servers = settings.KAFKA_CONNECTION["bootstrap.servers"]
            raise CommandError(f"{exc}\n(KAFKA_BOOTSTRAP_SERVERS={servers})") from exc
        report = {"missing": missing, "created": [] if options["dry_run"] else missing}
        lines = [f"{'missing' if options['dry_run'] else 'created'} {name}" for name in missing]
        self.stdout.write(json.dumps(report) if options["json"] else "\n".join(lines or ["all topics exist"]))
