"""
What stands on the topics themselves: the ids of a topic beside those that Kafka acknowledged, and records by their ids.

The ids of a topic go into a temporary table, so that memory does not grow with the topic.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from heapq import merge
from itertools import groupby
from operator import itemgetter
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import topics
from auditlog.queries.accounts import AT_ONCE, Window, committed, committed_ids
from consumers.kafka import TopicReader
from consumers.reconciliation.comparison import Ids, slices
from consumers.records import Record

# A record is dated by the clock of the relay that sent it, an event by that of the database.
CLOCK_SLACK = timedelta(hours=1)
# A table of the session, emptied by the commit. The topic may have an event more than once.
STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS auditlog_on_topic (event_id uuid NOT NULL) ON COMMIT DELETE ROWS"
CLEAR = "DELETE FROM auditlog_on_topic"
COPY = "COPY auditlog_on_topic (event_id) FROM STDIN"
IDS = """
SELECT DISTINCT event_id FROM auditlog_on_topic WHERE event_id >= %(low)s AND event_id < %(high)s ORDER BY event_id
"""


class _Named(msgspec.Struct):
    event_id: UUID


class _Value(msgspec.Struct):
    """An event names itself in `audit`, a chunk of a content at its top."""

    audit: _Named | None = None
    event_id: UUID | None = None


_value = msgspec.json.Decoder(_Value)


@dataclass(frozen=True, slots=True)
class TopicSide:
    """The topics, read from the broker."""

    reader: TopicReader
    source: BaseDatabaseWrapper
    # Where the temporary table is made.
    read_model: BaseDatabaseWrapper

    def all_lost(self, window: Window) -> dict[str, Ids]:
        """Return what `lost` says of every topic that something of a window was published to."""
        topics = sorted({cell.topic for part in slices(window) for cell in committed(self.source, part)})
        return {topic: self.lost(topic, window) for topic in topics}

    def lost(self, topic: str, window: Window) -> Ids:
        """
        Return the ids of a window that Kafka acknowledged and that are not on the topic.

        Acknowledged before the topic was read: what is published meanwhile is not lost. Looks at the whole topic if it
        must, as `records` does.

        :raises BrokersUnavailable: if the topic cannot be read to its end.
        """
        found = self._lost(topic, window, window)
        return self._lost(topic, window, None) if found.count else found

    def _lost(self, topic: str, window: Window, read: Window | None) -> Ids:
        found = Ids()
        with transaction.atomic(using=self.read_model.alias), closing(self._published(topic, window)) as published:
            one = ((event_id, False) for event_id in published)
            other = ((event_id, True) for event_id in self._ids_on(topic, window, read))
            for event_id, sides in groupby(merge(one, other), key=itemgetter(0)):
                if not any(is_on_topic for _, is_on_topic in sides):
                    found.add(event_id)
        return found

    def records(self, topic: str, event_ids: Collection[UUID], window: Window) -> Iterator[Record]:
        """
        Yield the first record of each of these ids that the topic has; looks at the whole topic if it must.

        :raises BrokersUnavailable: if the topic cannot be read to its end.
        """
        wanted = set(event_ids)
        # Where they should be; then everywhere: somebody's clock may have been wrong.
        for since in (window, None):
            for record in self._read(topic, since) if wanted else ():
                event_id = id_of(record)
                if event_id in wanted:
                    wanted.discard(event_id)
                    yield record
                if not wanted:
                    return

    def current(self, topic: str) -> str:
        """
        Return where the events of a topic go now: of those that it was moved to, the last that ever had something.

        :raises BrokersUnavailable: if no broker answers.
        """
        bounds = self.reader.bounds_of_all(topic)
        used = {partition.topic for partition, (_, end) in bounds.items() if end}
        return topics.latest(topic, used or {partition.topic for partition in bounds})

    def ids_on(self, topic: str, window: Window) -> Generator[UUID, None, None]:
        """
        Yield the ids of a window that a topic has, each once, in their order; in a transaction of the read model.

        :raises BrokersUnavailable: if the topic cannot be read to its end.
        """
        yield from self._ids_on(topic, window, window)

    def _published(self, topic: str, window: Window) -> Generator[UUID, None, None]:
        return (event_id for event_id, waits in committed_ids(self.source, topic, window) if not waits)

    def _ids_on(self, topic: str, window: Window, read: Window | None) -> Iterator[UUID]:
        with self.read_model.cursor() as cursor:
            cursor.execute(STAGE)
            cursor.execute(CLEAR)
            with cursor.copy(COPY) as copy:
                for record in self._read(topic, read):
                    event_id = id_of(record)
                    if event_id is not None:
                        copy.write_row([event_id])
        with self.read_model.chunked_cursor() as cursor:
            cursor.execute(IDS, window.bounds)
            while rows := cursor.fetchmany(AT_ONCE):
                yield from (event_id for (event_id,) in rows)

    def _read(self, topic: str, window: Window | None) -> Iterator[Record]:
        """Yield the records of a topic, wherever it was moved: all, or those from a little before a window on."""
        for partition, (start, end) in self.reader.bounds_of_all(topic).items():
            at = start if window is None else self.reader.offset_at(partition, window.since - CLOCK_SLACK)
            if at is not None:
                yield from self.reader.read(partition, start=max(at, start), end=end)


def id_of(record: Record) -> UUID | None:
    """Return the id of a record's event: what its header says, else its value; None where neither does."""
    label = record.header("ce_id")
    try:
        if label is not None:
            return UUID(label.decode())
        value = _value.decode(record.value or b"{}")
    except (ValueError, msgspec.MsgspecError):
        return None
    return value.audit.event_id if value.audit is not None else value.event_id
