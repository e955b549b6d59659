"""Partitions of the read model: one for each month (UTC) of the event ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

# What the time inside an event's id counts from.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# How far the time inside an event's id may be from the time of the event: queries that bound ids by a time window
# (so that partitions prune) widen it by this much on both sides, and lose nothing.
EVENT_ID_SLACK = timedelta(days=1)
MILLISECONDS_OF_DAY = 86_400_000
# As old as an event may be; the database function's limit too.
HORIZON_MONTHS_BACK = 119

# Makes the partition of one month; true where it was missing. Runs as the owner whoever calls it.
ENSURE = "SELECT auditlog_ensure_partition(%s)"
# All partitions of the read model, oldest first: names end in the month.
EXISTING = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'auditlog_auditlog'::regclass ORDER BY c.relname
"""


def month_of(at: datetime) -> datetime:
    """Return the first instant of the month of `at`, in UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def months(*, start: datetime, count: int) -> list[datetime]:
    """Return the first instants of `count` months from the month of `start` on."""
    return [month_from(start, number) for number in range(count)]


def month_from(at: datetime, number: int) -> datetime:
    """Return the first instant of the month that comes so many after that of `at`, or before it where negative."""
    first = month_of(at)
    index = first.year * 12 + first.month - 1 + number
    return first.replace(year=index // 12, month=index % 12 + 1)


def partition_name(at: datetime) -> str:
    """Return the name of the partition of the month of `at`."""
    return f"auditlog_auditlog_p{month_of(at):%Y%m}"


def month_named(name: str) -> datetime:
    """Return the month of a partition's name."""
    return datetime.strptime(name[-6:], "%Y%m").replace(tzinfo=UTC)


def covered_until(names: Collection[str], *, now: datetime) -> datetime:
    """Return the first instant from the month of `now` on whose month has no partition among these."""
    count = len(names)
    return next(month for month in months(start=now, count=count + 1) if partition_name(month) not in names)


def time_of(event_id: UUID) -> datetime:
    """
    Return the time inside a UUIDv7: its first 48 bits are Unix milliseconds (RFC 9562, section 5.7).

    :raises OverflowError: if that is after the year 9999.
    """
    return EPOCH + timedelta(milliseconds=event_id.int >> 80)


def days_of(event_ids: Iterable[UUID]) -> list[datetime]:
    """
    Return the days (UTC) inside UUIDv7s: a few, however many ids.

    :raises OverflowError: if one is after the year 9999.
    """
    return [
        EPOCH + timedelta(days=day) for day in {(event_id.int >> 80) // MILLISECONDS_OF_DAY for event_id in event_ids}
    ]


def lowest_id(at: datetime) -> UUID:
    """Return the lowest UUID whose first 48 bits are the millisecond of `at`."""
    return UUID(int=(round((at - EPOCH) / timedelta(microseconds=1)) // 1000) << 80)


def horizon(*, now: datetime, months_ahead: int) -> tuple[datetime, datetime]:
    """Return the earliest and the first too late time that an event may be dated at."""
    return month_from(now, -HORIZON_MONTHS_BACK), month_from(now, months_ahead + 1)


def ensure(connection: BaseDatabaseWrapper, at: Iterable[datetime]) -> list[str]:
    """
    Make the missing partitions of these times' months and return their names.

    Idempotent, safe beside others who do the same, and within the caller's transaction where there is one. Works for
    the tables' owner and for the consumer's role.

    :raises django.db.DataError: for a time outside the database's horizon.
    """
    made = []
    with connection.cursor() as cursor:
        for month in sorted({month_of(moment) for moment in at}):
            cursor.execute(ENSURE, [month])
            if cursor.fetchone()[0]:
                made.append(partition_name(month))
    return made


def existing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of all partitions, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(EXISTING)
        return [name for (name,) in cursor.fetchall()]
