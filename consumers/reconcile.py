"""Compares what committed, what was published and what is stored, id by id, without anybody's word for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.partitions import lowest_id
from auditlog.queries.outbox import committed

# Ids are compared in memory, so many days are compared one by one.
SLICE = timedelta(days=1)
# Events, and chunks of contents. Index: the primary key of each partition and that of the chunks; the bounds prune
# partitions.
STORED = """
SELECT event_id FROM auditlog_auditlog WHERE event_id >= %(low)s AND event_id < %(high)s
UNION ALL
SELECT event_id FROM auditlog_contentchunk WHERE event_id >= %(low)s AND event_id < %(high)s
"""


@dataclass(frozen=True, slots=True)
class Account:
    """How many events of a window there are on each side, and the ids of those that differ."""

    committed: int = 0
    published: int = 0
    stored: int = 0
    # Committed and not in the read model.
    missing: tuple[UUID, ...] = ()
    # Missing, and still waiting in the outbox.
    pending: tuple[UUID, ...] = ()
    # In the read model, and neither in the outbox nor in the ledger.
    unaccounted: tuple[UUID, ...] = ()

    def __add__(self, other: Account) -> Account:
        return Account(
            self.committed + other.committed,
            self.published + other.published,
            self.stored + other.stored,
            self.missing + other.missing,
            self.pending + other.pending,
            self.unaccounted + other.unaccounted,
        )


def reconcile(
    *, source: BaseDatabaseWrapper, read_model: BaseDatabaseWrapper, since: datetime, until: datetime
) -> Account:
    """
    Return the account of the events recorded from `since` up to before `until`, by the time inside their ids.

    `source` is the database of the outbox. It is read first, so that an event stored meanwhile is not missing.
    """
    account = Account()
    for start, end in slices(since, until):
        ids = committed(source, since=start, until=end)
        stored = _stored(read_model, start, end)
        account += Account(
            len(ids.all),
            len(ids.published),
            len(stored),
            tuple(sorted(ids.all - stored)),
            tuple(sorted(ids.pending - stored)),
            tuple(sorted(stored - ids.all)),
        )
    return account


def slices(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of a window, none longer than SLICE."""
    while since < until:
        end = min(since + SLICE, until)
        yield since, end
        since = end


def _stored(connection: BaseDatabaseWrapper, since: datetime, until: datetime) -> frozenset[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(STORED, {"low": lowest_id(since), "high": lowest_id(until)})
        return frozenset(event_id for (event_id,) in cursor.fetchall())
