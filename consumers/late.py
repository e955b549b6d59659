"""
Late events: those stored where positions have passed already, numbered in the order of commits.

A reader at a position has what is below its offsets, and the late events up to a number: see
`auditlog.queries.positions`. Ordinary consumption stores at offsets that nobody passed, takes no number and no lock.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

# Until the transaction ends: whoever takes numbers next sees those that committed, and gives higher ones. Taken before
# rows are inserted, so that nobody who holds it waits for somebody who wants it.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('auditlog_lateevent numbers', 0))"
# Stores the rows of the stage that are not stored yet, with their numbers. A number is left out where a consumer stores
# the same event at this moment. Index: the primary key of each partition, and that of the numbers.
STORE = """
WITH missing AS (
    SELECT DISTINCT ON (s.event_id) s.* FROM auditlog_stage s
    WHERE NOT EXISTS (SELECT FROM auditlog_auditlog a WHERE a.event_id = s.event_id)
    ORDER BY s.event_id, s."offset"
), stored AS (
    INSERT INTO auditlog_auditlog (stored_at, {columns}, late)
    SELECT clock_timestamp(), {columns}, (SELECT coalesce(max(number), 0) FROM auditlog_lateevent)
        + row_number() OVER (ORDER BY topic, partition, "offset", event_id)
    FROM missing
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id, late
)
INSERT INTO auditlog_lateevent (number, event_id) SELECT late, event_id FROM stored
"""


def lock(connection: BaseDatabaseWrapper) -> None:
    """Let nobody else store late events until the caller's transaction ends; again costs nothing but the statement."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK)
