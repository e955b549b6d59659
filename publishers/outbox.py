"""The relay's statements on the outbox: fetch, acknowledge, park."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from publishers.leases import Leases


class Row(NamedTuple):
    """An outbox row as the relay needs it."""

    id: int
    shard: int
    topic: str
    key: str
    event_id: str
    event_type: str
    occurred_at: datetime
    timeline: int
    schema_version: str | None
    traceparent: str | None
    value: str


# Keep the index whatever the statistics of a momentarily empty queue say.
KEEP_INDEX = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"
# The oldest events of the shards, without keys that a parked event holds. Index: primary key (shard, id).
FETCH = """
SELECT e.* FROM unnest(%(shards)s::int[]) s(shard) CROSS JOIN LATERAL (
  SELECT o.id, o.shard, o.topic, o.key, o.event_id::text, o.event_type, o.occurred_at, o.timeline, o.schema_version,
         o.traceparent, o.value
  FROM auditlog_outboxevent o
  WHERE o.shard = s.shard AND o.topic <> ALL(%(stopped)s) AND o.parked_at IS NULL
    AND NOT EXISTS (SELECT FROM auditlog_outboxevent p WHERE p.shard = o.shard AND p.topic = o.topic
                    AND p.key = o.key AND p.parked_at IS NOT NULL)
  ORDER BY o.id LIMIT %(limit)s) e
LIMIT %(limit)s
"""
# Delete what the broker has, fenced by epochs, and enter it in the ledger. Index: primary key (shard, id).
ACKNOWLEDGE = """
WITH held AS (
  SELECT l.shard FROM publishers_shardlease l
  JOIN unnest(%(shards)s::int[], %(epochs)s::bigint[]) h(shard, epoch) ON h.shard = l.shard AND h.epoch = l.epoch
  WHERE l.owner = %(owner)s AND l.until > clock_timestamp() FOR UPDATE OF l
), gone AS (
  DELETE FROM auditlog_outboxevent o USING unnest(%(ids)s::bigint[], %(id_shards)s::int[]) a(id, shard)
  WHERE o.shard = a.shard AND o.id = a.id AND a.shard IN (SELECT shard FROM held)
  RETURNING o.id, o.topic, o.event_id, o.occurred_at
)
INSERT INTO auditlog_outboxledger (topic, outbox_ids, event_ids, digest, relay, first_occurred_at, last_occurred_at,
                                   acknowledged_at)
SELECT topic, array_agg(id ORDER BY id), array_agg(event_id ORDER BY id),
       bit_xor(('x' || left(md5(event_id::text), 16))::bit(64)::bigint), %(owner)s, min(occurred_at),
       max(occurred_at), clock_timestamp()
FROM gone GROUP BY topic RETURNING cardinality(outbox_ids)
"""
# Take an event that can never be published out of the queue, fenced. Index: primary key (shard, id).
PARK = """
UPDATE auditlog_outboxevent o SET parked_at = clock_timestamp(), parked_reason = %(reason)s
WHERE o.shard = %(shard)s AND o.id = %(id)s AND EXISTS (
  SELECT FROM publishers_shardlease l WHERE l.shard = o.shard AND l.owner = %(owner)s AND l.epoch = %(epoch)s
  AND l.until > clock_timestamp())
"""


def fetch(
    connection: psycopg.Connection[Any], *, shards: Sequence[int], stopped: Collection[str], limit: int
) -> list[Row]:
    """Return at most `limit` events of these shards, those of a key in the order of their ids."""
    with connection.transaction():
        connection.execute(KEEP_INDEX)
        values = {"shards": list(shards), "stopped": list(stopped), "limit": limit}
        rows = connection.execute(FETCH, values).fetchall()
    return sorted(map(Row._make, rows))


def acknowledge(connection: psycopg.Connection[Any], *, rows: Sequence[Row], leases: Leases) -> int:
    """Delete published rows and enter them in the ledger; returns how many, 0 from a relay that lost its leases."""
    with connection.transaction():
        connection.execute(KEEP_INDEX)
        values = {
            "shards": list(leases.held),
            "epochs": list(leases.held.values()),
            "owner": leases.owner,
            "ids": [row.id for row in rows],
            "id_shards": [row.shard for row in rows],
        }
        return sum(count for (count,) in connection.execute(ACKNOWLEDGE, values).fetchall())


def park(connection: psycopg.Connection[Any], *, rejected: Iterable[tuple[Row, str]], leases: Leases) -> None:
    """Take events out of the queue that can never be published; each holds later events of its key."""
    for row, reason in rejected:
        values = {"shard": row.shard, "id": row.id, "reason": reason, "owner": leases.owner}
        connection.execute(PARK, {**values, "epoch": leases.held.get(row.shard)})
