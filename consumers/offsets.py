"""How far each partition was stored: read on assignment, moved by compare-and-set in the transaction of the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from consumers import late
from consumers.faults import OffsetConflict
from consumers.records import Partition, Positions

# Index: the primary key ("group", topic, partition), here and below.
LOAD = """
SELECT o.topic, o.partition, o.next_offset FROM auditlog_consumeroffset o
JOIN unnest(%s::text[], %s::integer[]) AS wanted (topic, partition)
  ON o.topic = wanted.topic AND o.partition = wanted.partition
WHERE o."group" = %s
"""
LOCK = " ORDER BY o.topic, o.partition FOR UPDATE OF o"
# Moves offsets from where the writer believes them to be. Who waited for another writer's lock sees its new value here
# and moves nothing. After a move back, what is below the old offset is read again.
MOVE = """
UPDATE auditlog_consumeroffset o SET next_offset = moved.following, updated_at = clock_timestamp(),
    again_until = CASE WHEN moved.following < moved.expected THEN greatest(o.again_until, moved.expected)
        ELSE o.again_until END
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[]) AS moved (topic, partition, expected, following)
WHERE o."group" = %s AND o.topic = moved.topic AND o.partition = moved.partition AND o.next_offset = moved.expected
RETURNING o.topic, o.partition, o.again_until
"""
# First offsets of partitions that the group has not stored from before. Where another group was counts as passed.
BEGIN = """
INSERT INTO auditlog_consumeroffset ("group", topic, partition, next_offset, updated_at, again_until)
SELECT %s, begun.topic, begun.partition, begun.following, clock_timestamp(), (
    SELECT max(greatest(o.next_offset, o.again_until)) FROM auditlog_consumeroffset o
    WHERE o.topic = begun.topic AND o.partition = begun.partition
) FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS begun (topic, partition, following)
ON CONFLICT DO NOTHING
RETURNING topic, partition, again_until
"""


def load(
    connection: BaseDatabaseWrapper, *, group: str, partitions: Collection[Partition], lock: bool = False
) -> dict[Partition, int | None]:
    """
    Return the next offset of each of `partitions`; None where the group has stored nothing yet.

    With `lock`, nobody else moves them until the caller's transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOAD + LOCK * lock, [[p.topic for p in partitions], [p.number for p in partitions], group])
        known = {Partition(topic, number): following for topic, number, following in cursor.fetchall()}
    return {partition: known.get(partition) for partition in partitions}


def move(
    connection: BaseDatabaseWrapper, *, group: str, expected: Positions, following: Mapping[Partition, int]
) -> dict[Partition, int]:
    """
    Move the offsets of `following` from `expected`, in the caller's transaction, which also stores the rows.

    Returns the partitions of which something was passed before, with the offset below which it was: rows there are
    late. Where a partition is begun, holds the lock of the late events, so that no other group passes it meanwhile.

    :raises OffsetConflict: if one of them is not where it was expected; the caller must roll back.
    """
    ordered = sorted(following)
    begun = [p for p in ordered if expected.get(p) is None]
    moved = [p for p in ordered if expected.get(p) is not None]
    found: list[tuple[str, int, int | None]] = []
    with connection.cursor() as cursor:
        if moved:
            columns: list[Any] = [[p.topic for p in moved], [p.number for p in moved], [expected[p] for p in moved]]
            cursor.execute(MOVE, [*columns, [following[p] for p in moved], group])
            found += cursor.fetchall()
        if begun:
            late.lock(connection)
            positions: list[Any] = [[p.topic for p in begun], [p.number for p in begun], [following[p] for p in begun]]
            cursor.execute(BEGIN, [group, *positions])
            found += cursor.fetchall()
    if len(found) != len(ordered):
        raise OffsetConflict
    return {Partition(topic, number): until for topic, number, until in found if until is not None}
