"""How long the database may work on one question of a caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
from django.db import OperationalError, connections, transaction

from auditlog.errors import AuditlogError
from auditlog.routers import READ_MODEL_ALIAS

DEFAULT_SECONDS = 5


class TooExpensive(AuditlogError):
    """The question takes too long to answer: choose a shorter window or a narrower filter."""


@contextmanager
def bounded(*, using: str = READ_MODEL_ALIAS) -> Iterator[None]:
    """
    Limit the statements of a block; for the transaction only, so that nothing stays with a pooled session.

    :raises TooExpensive: if one takes longer than AUDITLOG_QUERY_TIMEOUT_SECONDS.
    """
    milliseconds = round(getattr(settings, "AUDITLOG_QUERY_TIMEOUT_SECONDS", DEFAULT_SECONDS) * 1000)
    try:
        with transaction.atomic(using=using):
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
            yield
    except OperationalError as exc:
        if isinstance(exc.__cause__, psycopg.errors.QueryCanceled):
            raise TooExpensive from exc
        raise
