"""How long the database may work on one question of a caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import connections, transaction

from auditlog.routers import READ_MODEL_ALIAS

DEFAULT_SECONDS = 5


@contextmanager
def bounded(*, using: str = READ_MODEL_ALIAS) -> Iterator[None]:
    """
    Limit each statement of a block to AUDITLOG_QUERY_TIMEOUT_SECONDS; see `took_too_long`.

    A transaction: the limit is its own, so that nothing of it stays with a pooled session.
    """
    milliseconds = round(getattr(settings, "AUDITLOG_QUERY_TIMEOUT_SECONDS", DEFAULT_SECONDS) * 1000)
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
        yield


def took_too_long(error: BaseException) -> bool:
    """Tell whether a statement was ended by such a limit."""
    return isinstance(error.__cause__, psycopg.errors.QueryCanceled)
