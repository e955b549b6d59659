"""
What committed, and what Kafka acknowledged, by topic and minute, out of the outbox and the ledger alone.

An account is a number of events and a digest of their ids that does not depend on their order: two sides with the same
account have the same ids. Ids are grouped by the time inside them, so that both sides group alike whatever their clocks
say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.partitions import EPOCH, lowest_id

MINUTE = timedelta(minutes=1)
# The minute since 1970 and the digest's part of an id; XOR of them is the digest, as in the ledger.
MINUTE_OF = "('x' || left(replace({id}::text, '-', ''), 12))::bit(48)::bigint / 60000"
HASH_OF = "('x' || left(md5({id}::text), 16))::bit(64)::bigint"
GROUPED = f"""
SELECT topic, {MINUTE_OF.format(id="event_id")}, count(*), bit_xor({HASH_OF.format(id="event_id")}),
       count(*) FILTER (WHERE pending)
FROM ({{events}}) e GROUP BY 1, 2 ORDER BY 2, 1
"""
# Outbox and ledger in one statement, so in one snapshot: an event that moves from the one to the other is seen once.
# The times of a batch bound its ids from outside. Index: auditlog_outboxledger_times; the outbox is read as it is.
COMMITTED = """
SELECT topic, event_id, true AS pending FROM auditlog_outboxevent
WHERE event_id >= %(low)s AND event_id < %(high)s
UNION ALL
SELECT topic, acknowledged.id, false FROM auditlog_outboxledger, unnest(event_ids) AS acknowledged (id)
WHERE first_occurred_at < %(until)s AND last_occurred_at >= %(since)s
  AND acknowledged.id >= %(low)s AND acknowledged.id < %(high)s
"""
MINUTES = GROUPED.format(events=COMMITTED)
IDS = f"SELECT event_id, pending FROM ({COMMITTED}) e WHERE topic = %(topic)s ORDER BY event_id"
# When the oldest event was recorded that is still accounted for. Index: none; brief, but for a ledger of many days.
OLDEST = """
SELECT least(
    (SELECT min(occurred_at) FROM auditlog_outboxevent), (SELECT min(first_occurred_at) FROM auditlog_outboxledger)
)
"""
PURGED = "SELECT purged_until FROM auditlog_ledgerbeginning"
# A moment, and a transaction number that no event recorded before it has: the clock is read first.
MARK = "SELECT clock_timestamp(), pg_current_xact_id()::text::bigint"
OLDEST_RUNNING = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
# Rows that the server hands over at once.
AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Window:
    """Some time, from `since` up to before `until`; ids know milliseconds only."""

    since: datetime
    until: datetime

    @property
    def bounds(self) -> dict[str, datetime | UUID]:
        """The parameters of the statements."""
        since = self.since.replace(microsecond=self.since.microsecond // 1000 * 1000)
        low, high = lowest_id(since), lowest_id(self.until)
        return {"low": low, "high": high, "since": since, "until": self.until}


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """A topic in a minute."""

    topic: str
    at: datetime

    @property
    def window(self) -> Window:
        """The minute."""
        return Window(self.at, self.at + MINUTE)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many events, and the digest of their ids; of those that committed, how many wait for Kafka."""

    events: int = 0
    digest: int = 0
    pending: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """Once no transaction below `transaction` runs, no event appears that was recorded before `at`."""

    at: datetime
    transaction: int


def minute_of(at: datetime) -> datetime:
    """Return the beginning of the minute of `at`."""
    return at.replace(second=0, microsecond=0)


def sums(connection: BaseDatabaseWrapper, statement: str, window: Window) -> dict[Cell, Sum]:
    """Return what a statement of the form of GROUPED counts in a window."""
    with connection.cursor() as cursor:
        cursor.execute(statement, window.bounds)
        rows = cursor.fetchall()
    return {Cell(topic, EPOCH + minute * MINUTE): Sum(*found) for topic, minute, *found in rows}


def committed(connection: BaseDatabaseWrapper, window: Window) -> dict[Cell, Sum]:
    """Return the accounts of what committed, parked events too, by topic and minute."""
    return sums(connection, MINUTES, window)


def committed_ids(connection: BaseDatabaseWrapper, topic: str, window: Window) -> Iterator[tuple[UUID, bool]]:
    """Yield the ids of what committed for a topic, in their order, and whether each still waits."""
    with transaction.atomic(using=connection.alias), connection.chunked_cursor() as cursor:
        cursor.execute(IDS, {**window.bounds, "topic": topic})
        while rows := cursor.fetchmany(AT_ONCE):
            yield from rows


def oldest(connection: BaseDatabaseWrapper) -> datetime | None:
    """Return when the oldest event was recorded that is still accounted for; None where there is none."""
    return _moment(connection, OLDEST)


def accounted_since(connection: BaseDatabaseWrapper) -> datetime | None:
    """
    Return the first minute of which the ledger has lost nothing to its age; None where it never lost anything.

    An event is acknowledged after it was recorded: what was recorded later than the last removed acknowledgement is
    there.
    """
    purged = _moment(connection, PURGED)
    return None if purged is None else minute_of(purged) + MINUTE


def mark(connection: BaseDatabaseWrapper) -> Mark:
    """Return a mark of now; takes a transaction number."""
    with connection.cursor() as cursor:
        cursor.execute(MARK)
        at, number = cursor.fetchone()
        return Mark(at, number)


def oldest_running(connection: BaseDatabaseWrapper) -> int:
    """Return the lowest transaction number that is still running; the next one where none is."""
    with connection.cursor() as cursor:
        cursor.execute(OLDEST_RUNNING)
        number: int = cursor.fetchone()[0]
        return number


def _moment(connection: BaseDatabaseWrapper, statement: str) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return None if row is None else row[0]
