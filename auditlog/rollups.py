"""
Upkeep of the rollups, as the tables' owner: putting rows together, counting months anew, finding what is wrong.

The counts of an event are written by the statement that stores it. So whatever one snapshot sees of the events, it sees
of the counts too, and everything here is right beside running consumers and readers because it uses one snapshot. Two
upkeeps wait for each other, at a lock that nobody else takes, so that neither makes the other one fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.partitions import EVENT_ID_SLACK, lowest_id, months

# Readers of the table are let through. A lock of a table is no query: the snapshot is taken after it was waited for.
EXCLUDE_OTHERS = "LOCK TABLE auditlog_rollupbacklog IN EXCLUSIVE MODE"
# Index: auditlog_rollup_fresh.
FRESH_HOURS = "SELECT DISTINCT at FROM auditlog_rollup WHERE NOT compacted ORDER BY at"
# Index: auditlog_rollup_hours. Rows that others append meanwhile are not seen, and stay as they are.
COMPACT = """
WITH taken AS (
    DELETE FROM auditlog_rollup WHERE by_actor = ANY ('{false,true}') AND at = %s
    RETURNING at, by_actor, model, action, category, actor_id, events
)
INSERT INTO auditlog_rollup (at, by_actor, model, action, category, actor_id, events, compacted)
SELECT at, by_actor, model, action, category, actor_id, sum(events), true
FROM taken GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 4, 5, 6
"""
# What the trigger would have counted of a month. Index: none; the partitions of the month and its neighbours' days.
COUNTED = """
SELECT date_trunc('hour', occurred_at, 'UTC') AS at, grouping(actor_id) = 0 AS by_actor, model, action, category,
    actor_id, count(*) AS events
FROM auditlog_auditlog
WHERE occurred_at >= %(since)s AND occurred_at < %(until)s AND event_id >= %(low)s AND event_id < %(high)s
GROUP BY date_trunc('hour', occurred_at, 'UTC'), model, action, category, GROUPING SETS ((actor_id), ())
"""
# Index, here and below: auditlog_rollup_hours.
OF_MONTH = "FROM auditlog_rollup WHERE by_actor = ANY ('{false,true}') AND at >= %(since)s AND at < %(until)s"
FORGET = f"DELETE {OF_MONTH}"
COUNT = f"""
INSERT INTO auditlog_rollup (at, by_actor, model, action, category, actor_id, events, compacted)
SELECT *, true FROM ({COUNTED}) counted ORDER BY at, by_actor, model, action, category, actor_id
"""
ANALYZE = "ANALYZE auditlog_rollup"
DONE = "DELETE FROM auditlog_rollupbacklog WHERE month = %(since)s"
# Both in one statement, so in one snapshot.
DIFFERENCES = f"""
SELECT at, coalesce(sum(difference) FILTER (WHERE difference < 0), 0),
    coalesce(sum(difference) FILTER (WHERE difference > 0), 0)
FROM (
    SELECT at, sum(events) AS difference FROM (
        SELECT at, by_actor, model, action, category, actor_id, events {OF_MONTH}
        UNION ALL
        SELECT at, by_actor, model, action, category, actor_id, -events FROM ({COUNTED}) counted
    ) both_sides
    GROUP BY at, by_actor, model, action, category, actor_id HAVING sum(events) <> 0
) differing
GROUP BY at ORDER BY at
"""
BACKLOG = "SELECT month FROM auditlog_rollupbacklog ORDER BY month DESC"
# The months of the partitions, which names end in, and of rollups: an event may be a day from its id's time.
KNOWN_MONTHS = """
SELECT DISTINCT date_trunc('month', at, 'UTC') FROM auditlog_rollup
UNION
SELECT to_date(right(c.relname, 6), 'YYYYMM')::timestamp AT TIME ZONE 'UTC'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'auditlog_auditlog'::regclass
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """An hour whose rollups are not what is stored: events that they lack, and that they have too many."""

    at: datetime
    lacking: int
    surplus: int


def fresh_hours(connection: BaseDatabaseWrapper) -> list[datetime]:
    """Return the hours of which something was stored since they were put together, oldest first."""
    return _moments(connection, FRESH_HOURS)


def backlog(connection: BaseDatabaseWrapper) -> list[datetime]:
    """Return the months that have to be counted before their rollups may be used, newest first."""
    return _moments(connection, BACKLOG)


def known_months(connection: BaseDatabaseWrapper) -> list[datetime]:
    """Return the months that may have events or rollups, oldest first."""
    return _moments(connection, KNOWN_MONTHS)


def compact(connection: BaseDatabaseWrapper, hour: datetime) -> None:
    """Make one row of all rows of a kind in an hour. In a transaction of its own; waits for other upkeeps."""
    with transaction.atomic(using=connection.alias, durable=True), connection.cursor() as cursor:
        cursor.execute(EXCLUDE_OTHERS)
        cursor.execute(COMPACT, [hour])


def rebuild(connection: BaseDatabaseWrapper, month: datetime) -> None:
    """
    Count the events of a month anew, in one snapshot, and take it out of the backlog.

    In a transaction of its own: stopped at any time, the month is as before or done. What is stored meanwhile is not in
    the snapshot, and its counts stay. Waits for other upkeeps.
    """
    with transaction.atomic(using=connection.alias, durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(EXCLUDE_OTHERS)
        for statement in (FORGET, COUNT, DONE):
            cursor.execute(statement, _bounds(month))


def analyze(connection: BaseDatabaseWrapper) -> None:
    """Let the planner know at once how many rows there are: autovacuum comes by later, and statistics are asked now."""
    with connection.cursor() as cursor:
        cursor.execute(ANALYZE)


def differences(connection: BaseDatabaseWrapper, month: datetime) -> list[Difference]:
    """Return the hours of a month whose rollups differ from the events, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, _bounds(month))
        return [Difference(at, int(-lacking), int(surplus)) for at, lacking, surplus in cursor.fetchall()]


def _bounds(month: datetime) -> dict[str, datetime | UUID]:
    since, until = months(start=month, count=2)
    return {
        "since": since,
        "until": until,
        "low": lowest_id(since - EVENT_ID_SLACK),
        "high": lowest_id(until + EVENT_ID_SLACK),
    }


def _moments(connection: BaseDatabaseWrapper, statement: str) -> list[datetime]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [moment for (moment,) in cursor.fetchall()]
