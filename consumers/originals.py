"""
Records as they stood on their topics, made again out of the read model.

A row and its shape are the record: see `consumers.shapes`. Chunks of contents have their own rows. Nothing is held in
memory but the record at hand.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.partitions import lowest_id
from consumers.decode import Row
from consumers.records import Partition, Record, header_bytes
from consumers.shapes import original

JSON_COLUMNS = frozenset({"changes", "before", "after", "m2m", "data", "masked", "classes", "actor", "context"})
AS_TEXT = JSON_COLUMNS | {"remote_addr"}
COLUMNS = ", ".join(f'l."{name}"::text' if name in AS_TEXT else f'l."{name}"' for name in Row._fields)
# Rows with their shapes. Index: primary keys.
EVENTS = f"SELECT {COLUMNS}, s.text FROM auditlog_auditlog l LEFT JOIN auditlog_eventshape s ON s.id = l.shape"
# Chunks; bytes that were stored before are with another row. Index: primary key, auditlog_contentchunk_bytes.
CHUNKS = """
SELECT l.topic, l.partition, l."offset", l.event_id, l.sha256, l.bytes, l.chunk, l.chunks, l.headers::text, coalesce(
    l.data, (
        SELECT o.data FROM auditlog_contentchunk o
        WHERE o.sha256 = l.sha256 AND o.chunks = l.chunks AND o.chunk = l.chunk AND o.data IS NOT NULL
        ORDER BY o.event_id DESC LIMIT 1
    )
) FROM auditlog_contentchunk l
"""
BY_ID = " WHERE l.event_id = ANY(%s)"
OF_TOPIC = " WHERE l.topic = %s AND l.event_id >= %s AND l.event_id < %s"
# As they stood on the topic: by object as they committed, whatever was redelivered later.
IN_ORDER = " ORDER BY l.sequence, l.event_id"
CHUNKS_IN_ORDER = " ORDER BY l.event_id"
# Ids that one statement asks for, and rows that the server hands over at once.
AT_ONCE = 1_000


class WithoutShape(Exception):
    """The read model does not know how this event stood on its topic: it was stored by an earlier version."""


def by_ids(connection: BaseDatabaseWrapper, event_ids: Sequence[UUID]) -> Iterator[Record]:
    """
    Yield the records of these events, in the order of `source.sequence`; chunks of contents first.

    Ids that the read model does not have are left out.

    :raises WithoutShape: at an event whose record cannot be told.
    """
    yield from _records(connection, CHUNKS + BY_ID + CHUNKS_IN_ORDER, [list(event_ids)], _chunk)
    yield from _records(connection, EVENTS + BY_ID + IN_ORDER, [list(event_ids)], _event)


def of_topic(connection: BaseDatabaseWrapper, *, topic: str, since: datetime, until: datetime) -> Iterator[Record]:
    """
    Yield the records of a topic by the time inside their ids, from `since` up to before `until`, in commit order.

    One snapshot; in bounded memory, however many there are.

    :raises WithoutShape: at an event whose record cannot be told.
    """
    values = [topic, lowest_id(since), lowest_id(until)]
    yield from _records(connection, CHUNKS + OF_TOPIC + CHUNKS_IN_ORDER, values, _chunk)
    yield from _records(connection, EVENTS + OF_TOPIC + IN_ORDER, values, _event)


def _records(connection: BaseDatabaseWrapper, statement: str, values: list[Any], make: Any) -> Iterator[Record]:
    with transaction.atomic(using=connection.alias), connection.chunked_cursor() as cursor:
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(AT_ONCE):
            yield from map(make, rows)


def _event(values: Sequence[Any]) -> Record:
    *columns, shape = values
    row = Row._make(columns)
    if shape is None:
        raise WithoutShape(f"{WithoutShape.__doc__} ({row.event_id})")
    return original(row, shape)


def _chunk(values: Sequence[Any]) -> Record:
    topic, number, offset, event_id, sha256, size, chunk, chunks, headers, data = values
    if headers is None:
        raise WithoutShape(f"{WithoutShape.__doc__} ({event_id})")
    members = {"event_id": str(event_id), "sha256": sha256, "bytes": size, "chunk": chunk, "chunks": chunks}
    value = msgspec.json.encode({**members, "data": base64.b64encode(bytes(data)).decode()})
    found = tuple(header_bytes(described) for described in msgspec.json.decode(headers))
    return Record(Partition(topic, number), offset, sha256.encode(), value, found)
