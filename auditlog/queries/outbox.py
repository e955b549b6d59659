"""Reads of the outbox and its ledger: which events committed, and which of them Kafka has acknowledged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.partitions import lowest_id

# Both in one statement, so in one snapshot: an event that leaves the outbox for the ledger meanwhile is seen once.
# The times of a batch bound its ids from outside; a batch at the edge of the window has ids on both sides.
COMMITTED = """
SELECT event_id, false FROM auditlog_outboxevent WHERE event_id >= %(low)s AND event_id < %(high)s
UNION ALL
SELECT acknowledged.id, true FROM auditlog_outboxledger, unnest(event_ids) AS acknowledged (id)
WHERE first_occurred_at < %(until)s AND last_occurred_at >= %(since)s
  AND acknowledged.id >= %(low)s AND acknowledged.id < %(high)s
"""
# When the oldest event was recorded that is still accounted for.
OLDEST = """
SELECT least(
    (SELECT min(occurred_at) FROM auditlog_outboxevent), (SELECT min(first_occurred_at) FROM auditlog_outboxledger)
)
"""


@dataclass(frozen=True, slots=True)
class Committed:
    """The ids of events that committed, by whether the broker has acknowledged them."""

    pending: frozenset[UUID]
    published: frozenset[UUID]

    @property
    def all(self) -> frozenset[UUID]:
        """Both."""
        return self.pending | self.published


def committed(connection: BaseDatabaseWrapper, *, since: datetime, until: datetime) -> Committed:
    """
    Return the ids of the events recorded from `since` up to before `until`, by the time inside their ids.

    Parked events are pending: they are still in the outbox.
    """
    # Ids know milliseconds only.
    since = since.replace(microsecond=since.microsecond // 1000 * 1000)
    bounds: dict[str, datetime | UUID] = {
        "low": lowest_id(since),
        "high": lowest_id(until),
        "since": since,
        "until": until,
    }
    pending: set[UUID] = set()
    published: set[UUID] = set()
    with connection.cursor() as cursor:
        cursor.execute(COMMITTED, bounds)
        for event_id, is_published in cursor.fetchall():
            (published if is_published else pending).add(event_id)
    return Committed(frozenset(pending - published), frozenset(published))


def oldest(connection: BaseDatabaseWrapper) -> datetime | None:
    """Return when the oldest event was recorded that is still accounted for; None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(OLDEST)
        moment: datetime | None = cursor.fetchone()[0]
        return moment
