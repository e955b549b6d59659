"""`manage.py healthcheck`: whether a run loop beside this process still goes round."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from auditlog.heartbeat import RunLoop, path_of


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Exit with 0 if the relay, the consumer or the reconciler that writes its heartbeat to HEARTBEAT_DIR went "
        "round lately. Asks no server: a loop that waits for PostgreSQL or Kafka is healthy. Each process needs a "
        "folder of its own."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--relay", dest="loop", action="store_const", const=RunLoop.RELAY, help="look at run_relay")
        which.add_argument(
            "--consumer", dest="loop", action="store_const", const=RunLoop.CONSUMER, help="look at run_consumer"
        )
        which.add_argument(
            "--reconciler",
            dest="loop",
            action="store_const",
            const=RunLoop.RECONCILER,
            help="look at audit_reconcile --every",
        )
        ages = ", ".join(f"{loop} {loop.max_age_seconds:g}" for loop in RunLoop)
        parser.add_argument("--max-age", type=float, help=f"seconds after which a heartbeat is too old ({ages})")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look at the heartbeat."""
        loop: RunLoop = options["loop"]
        max_age_seconds = loop.max_age_seconds if options["max_age"] is None else options["max_age"]
        age_seconds = _age_seconds(loop)
        if age_seconds > max_age_seconds:
            raise CommandError(f"The {loop} last went round {age_seconds:.0f} s ago, more than {max_age_seconds:g} s.")
        self.stdout.write(f"The {loop} went round {max(0.0, age_seconds):.1f} s ago.")


def _age_seconds(loop: RunLoop) -> float:
    path = path_of(loop)
    if path is None:
        raise CommandError("HEARTBEAT_DIR is not set: no heartbeat is written.")
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        raise CommandError(f"The {loop} does not run here, or has another HEARTBEAT_DIR: no {path}.") from None
    except OSError as exc:
        raise CommandError(f"The heartbeat cannot be read: {exc}") from exc
