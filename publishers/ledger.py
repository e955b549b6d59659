"""Removes entries of the ledger that are older than it has to account for."""

from __future__ import annotations

from typing import Any

import psycopg

# The oldest entries, as long as they are older than allowed: never looks at more than it may remove.
# Notes how far, so that nobody takes what was removed for what never was. Index: primary key, which grows with time.
PURGE = """
WITH gone AS (
  DELETE FROM auditlog_outboxledger WHERE id IN (
    SELECT id FROM (SELECT id, acknowledged_at FROM auditlog_outboxledger ORDER BY id LIMIT %(rows)s) oldest
    WHERE acknowledged_at < clock_timestamp() - make_interval(days => %(days)s))
  RETURNING acknowledged_at
), noted AS (
  INSERT INTO auditlog_ledgerbeginning AS b (id, purged_until)
  SELECT 1, max(acknowledged_at) FROM gone HAVING count(*) > 0
  ON CONFLICT (id) DO UPDATE SET purged_until = greatest(b.purged_until, excluded.purged_until)
)
SELECT count(*) FROM gone
"""


def purge(connection: psycopg.Connection[Any], *, days: int, rows: int) -> int:
    """Remove at most `rows` entries that were acknowledged more than `days` ago; returns how many."""
    row = connection.execute(PURGE, {"days": days, "rows": rows}).fetchone()
    return row[0] if row else 0
