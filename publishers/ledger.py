"""Removes entries of the ledger that are older than it has to account for."""

from __future__ import annotations

from typing import Any

import psycopg

# The oldest entries, as long as they are older than allowed: never looks at more than it may remove.
# Index: primary key, which grows with time.
PURGE = """
DELETE FROM auditlog_outboxledger WHERE id IN (
  SELECT id FROM (SELECT id, acknowledged_at FROM auditlog_outboxledger ORDER BY id LIMIT %(rows)s) oldest
  WHERE acknowledged_at < clock_timestamp() - make_interval(days => %(days)s))
"""


def purge(connection: psycopg.Connection[Any], *, days: int, rows: int) -> int:
    """Remove at most `rows` entries that were acknowledged more than `days` ago; returns how many."""
    return connection.execute(PURGE, {"days": days, "rows": rows}).rowcount
