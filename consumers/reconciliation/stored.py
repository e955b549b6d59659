"""What the read model holds, by topic and minute: events, chunks of contents, dead letters that name their event."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.partitions import lowest_id, time_of
from auditlog.queries.accounts import AT_ONCE, GROUPED, Cell, Sum, Window, sums

UUID_TEXT = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
# What was committed for a topic that was moved stands on several: they are one account.
ORIGINAL = r"regexp_replace({topic}, '\.v[1-9][0-9]*$', '') AS topic"
# A dead letter is kept whole and alarmed: its event is not lost. Indexes: the primary key of each partition and that of
# the chunks, whose bounds prune partitions; consumers_deadletter_at.
STORED = f"""
SELECT {ORIGINAL.format(topic="topic")}, event_id, false AS pending FROM auditlog_auditlog
WHERE event_id >= %(low)s AND event_id < %(high)s
UNION ALL
SELECT {ORIGINAL.format(topic="topic")}, event_id, false FROM auditlog_contentchunk
WHERE event_id >= %(low)s AND event_id < %(high)s
UNION ALL
SELECT DISTINCT topic, event_id, false FROM (
    SELECT {ORIGINAL.format(topic="d.topic")}, CASE WHEN named.id ~ '{UUID_TEXT}' THEN named.id::uuid END AS event_id
    FROM consumers_deadletter d, LATERAL (
        SELECT header ->> 'value' AS id FROM jsonb_array_elements(d.headers) header WHERE header ->> 'name' = 'ce_id'
        LIMIT 1
    ) named
    WHERE d.at >= %(since)s - interval '1 day'
) dead
WHERE event_id >= %(low)s AND event_id < %(high)s
  AND NOT EXISTS (SELECT FROM auditlog_auditlog l WHERE l.event_id = dead.event_id)
  AND NOT EXISTS (SELECT FROM auditlog_contentchunk c WHERE c.event_id = dead.event_id)
"""
# Index: the primary keys.
FIRST = """
SELECT least(
    (SELECT event_id FROM auditlog_auditlog WHERE event_id >= %(low)s ORDER BY event_id LIMIT 1),
    (SELECT event_id FROM auditlog_contentchunk WHERE event_id >= %(low)s ORDER BY event_id LIMIT 1)
)
"""
MINUTES = GROUPED.format(events=STORED)
IDS = f"SELECT event_id FROM ({STORED}) e WHERE topic = %(topic)s ORDER BY event_id"


def stored(connection: BaseDatabaseWrapper, window: Window) -> dict[Cell, Sum]:
    """Return the accounts of what is stored, by topic and minute."""
    return sums(connection, MINUTES, window)


def first_stored(connection: BaseDatabaseWrapper, since: datetime) -> datetime | None:
    """Return the time of the first event or chunk from `since` on; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(FIRST, {"low": lowest_id(since)})
        event_id: UUID | None = cursor.fetchone()[0]
        return None if event_id is None else time_of(event_id)


def stored_ids(connection: BaseDatabaseWrapper, topic: str, window: Window) -> Iterator[UUID]:
    """Yield the ids of what is stored of a topic, in their order."""
    with transaction.atomic(using=connection.alias), connection.chunked_cursor() as cursor:
        cursor.execute(IDS, {**window.bounds, "topic": topic})
        while rows := cursor.fetchmany(AT_ONCE):
            yield from (event_id for (event_id,) in rows)
