"""Whether a connection can capture: its database has the functions, in which schema, and how it writes RETURNING."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import metrics
from auditlog.capture.columns import quote

log = structlog.get_logger(__name__)

ATTRIBUTE = "_auditlog_capability"
# First version whose RETURNING can name the old row: 18.
RETURNS_OLD_ROWS = 180_000
# The schema of the capture functions, first one that the search path finds; tenants change that path later.
FIND_SCHEMA = """
SELECT n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proname = 'auditlog_emit' ORDER BY pg_function_is_visible(p.oid) DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Capability:
    """What the compilers must know of a connection."""

    schema: str  # quoted
    returns_old_rows: bool


def capability(connection: BaseDatabaseWrapper) -> Capability | None:
    """
    Return what the connection can do, or None where the functions are not installed.

    Costs one statement for each connection while they are installed, and one for each write while they are missing
    (before and after the migrations of this package); such writes are logged and counted.
    """
    # Kept on the driver's connection, which a pool hands from one request to the next.
    known: Capability | None = getattr(connection.connection, ATTRIBUTE, None)
    if known is not None:
        return known
    with connection.cursor() as cursor:
        cursor.execute(FIND_SCHEMA)
        row = cursor.fetchone()
    if row is None:
        return None
    found = Capability(quote(row[0]), int(getattr(connection, "pg_version", 0)) >= RETURNS_OLD_ROWS)
    setattr(connection.connection, ATTRIBUTE, found)
    return found


def forget_capability(connection: BaseDatabaseWrapper) -> None:
    """Look for the functions anew at the next write: they were just made or dropped."""
    if hasattr(connection.connection, ATTRIBUTE):
        delattr(connection.connection, ATTRIBUTE)


def report_uncaptured(*, label: str, reason: metrics.UncapturedReason) -> None:
    """Log and count a write of a registered model that leaves no event."""
    metrics.UNCAPTURED_WRITES.labels(model=label, reason=reason.value).inc()
    log.warning("capture.uncaptured", model=label, reason=reason.value)
