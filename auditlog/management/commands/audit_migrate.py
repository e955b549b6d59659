"""`manage.py audit_migrate`: bring every database of the service up to date, one process at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from auditlog.routers import READ_MODEL_ALIAS, one_database

# Any number that nobody else locks.
LOCK_KEY = int.from_bytes(b"auditlog", "big")
LOCK_TIMEOUT_SECONDS = 10.0
# Asked for again and again, in a statement of its own each time: one that waited inside PostgreSQL would hold a
# snapshot, and an index that the other process builds CONCURRENTLY would wait for that, forever. The lock ends with its
# session, also if that dies.
LOCK = "SELECT pg_try_advisory_lock(%s)"
LOCK_POLL_SECONDS = 0.5


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Migrate the domain's database, and the read model's where that is another one, then make the partitions of "
        "the months ahead. One process at a time: others wait, and then find nothing to do. Run it as the tables' "
        "owner (DATABASE_OWNER_URL, AUDIT_DATABASE_OWNER_URL), without a pooler in between."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--lock-timeout",
            type=float,
            default=LOCK_TIMEOUT_SECONDS,
            help="seconds that a statement may wait for a table before the migration gives up (%(default)s)",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Migrate each physical database under its lock."""
        aliases = [DEFAULT_DB_ALIAS] if one_database() else [DEFAULT_DB_ALIAS, READ_MODEL_ALIAS]
        try:
            for alias in aliases:
                with self._locked(alias):
                    _limit_waiting(alias, seconds=options["lock_timeout"])
                    call_command("migrate", database=alias, interactive=False, verbosity=options["verbosity"])
        except (DatabaseError, psycopg.Error) as exc:
            raise CommandError(f"The database was not migrated: {exc}") from exc
        call_command("audit_partitions", stdout=self.stdout)

    @contextmanager
    def _locked(self, alias: str) -> Iterator[None]:
        """Wait for the lock, and hold it on a session of its own: the migrations' may be closed in between."""
        with psycopg.connect(**connections[alias].get_connection_params(), autocommit=True) as session:
            if not _takes_lock(session):
                self.stdout.write(f"Another process migrates {alias}: waiting for its end.")
                self.stdout.flush()
                while not _takes_lock(session):
                    time.sleep(LOCK_POLL_SECONDS)
            yield


def _takes_lock(session: psycopg.Connection[Any]) -> bool:
    """Take the lock if it is free, and tell whether it was."""
    return session.execute(LOCK, [LOCK_KEY]).fetchone() == (True,)


def _limit_waiting(alias: str, *, seconds: float) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(seconds * 1000)}ms"])
