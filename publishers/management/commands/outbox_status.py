"""`manage.py outbox_status`: what waits, what is parked, who publishes."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.utils import timezone

from auditlog.models import OutboxEvent
from publishers.models import ShardLease


class Command(BaseCommand):
    """See `help`."""

    help = "Say how many events wait for Kafka, since when, how many are parked, and which relay has which shard."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Report."""
        waiting = Q(parked_at__isnull=True)
        found = OutboxEvent.objects.aggregate(
            pending=Count("id", filter=waiting),
            parked=Count("id", filter=~waiting),
            oldest=Min("occurred_at", filter=waiting),
        )
        oldest = found["oldest"]
        leases = ShardLease.objects.filter(until__gt=Now()).order_by("shard")
        report = {
            "pending": found["pending"],
            "oldest_seconds": None if oldest is None else round((timezone.now() - oldest).total_seconds(), 3),
            "parked": found["parked"],
            "shards": [
                {
                    "shard": row.shard,
                    "owner": row.owner,
                    "epoch": row.epoch,
                    "until": row.until and row.until.isoformat(),
                }
                for row in leases
            ],
        }
        if options["json"]:
            self.stdout.write(json.dumps(report))
            return
        self.stdout.write(
            f"pending {report['pending']}, oldest {report['oldest_seconds']} s, parked {report['parked']}"
        )
        self.stdout.write(f"shards leased: {len(leases)} of 64")
