"""The relay's statements on the outbox: fetch, acknowledge, park, survey."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import psycopg

from publishers.leases import Leases
from publishers.underway import Statement


class Row(NamedTuple):
    """An outbox row as the relay needs it."""

    place: str
    id: int
    shard: int
    topic: str
    key: str
    event_id: str
    event_type: str
    # RFC 3339 in UTC with microseconds: sorts as text.
    occurred_at: str
    timeline: int
    schema_version: str | None
    traceparent: str | None
    value: str


# Makes a row of its columns; as `Row._make`, which counts them each time.
made: Callable[[Sequence[Any]], Row] = partial(tuple.__new__, Row)
# What is asked of every row of a batch, without a step of the interpreter for each.
PLACE, ID, SHARD, TOPIC, OCCURRED_AT, TRACEPARENT = map(
    attrgetter, ("place", "id", "shard", "topic", "occurred_at", "traceparent")
)


class Scan(NamedTuple):
    """How much of a shard is fetched at most, and behind which id the scan begins."""

    shard: int
    floor: int
    rows: int
    size: int


class Survey(NamedTuple):
    """What is going on in the database: transactions, and parked events by shard."""

    xmin: int
    xmax: int
    parked: Mapping[int, int]


# The oldest events of each shard up to a number and a size, at least one; without keys that a parked event holds.
# Index: primary key (shard, id); for what is parked, its partial index, the only one in the order asked for. LATERAL
# with LIMIT and NOT IN leave the planner no other join. Sizes are known without reading the values.
FETCH = """
SELECT e.* FROM unnest(%(shards)s::int[], %(floors)s::bigint[], %(rows)s::int[], %(sizes)s::bigint[])
  AS s (shard, floor, rows, size)
CROSS JOIN LATERAL (
  SELECT w.place, w.id, w.shard, w.topic, w.key, w.event_id::text, w.event_type,
         to_char(w.occurred_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), w.timeline, w.schema_version, w.traceparent, w.value
  FROM (
    SELECT o.ctid::text AS place, o.*,
           sum(octet_length(o.value)) OVER (ORDER BY o.id ROWS UNBOUNDED PRECEDING) - octet_length(o.value) AS earlier
    FROM auditlog_outboxevent o
    WHERE o.shard = s.shard AND o.id > s.floor AND o.parked_at IS NULL AND o.topic <> ALL(%(stopped)s::text[])
      AND (o.topic, o.key) NOT IN (
        SELECT p.topic, p.key FROM auditlog_outboxevent p WHERE p.parked_at IS NOT NULL ORDER BY p.topic, p.key)
    ORDER BY o.id LIMIT s.rows) w
  WHERE w.earlier < s.size) e
"""
# Delete what the broker has, fenced by owner and epoch, and enter it in the ledger. Reached by place (ctid), which no
# statistics can talk the planner out of while nothing else is allowed; a row that moved since (VACUUM FULL) is left
# and sent again. No index.
ACKNOWLEDGE = """
SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
WITH held AS (
  SELECT l.shard FROM publishers_shardlease l
  JOIN unnest(%(shards)s::int[], %(epochs)s::bigint[]) h (shard, epoch) ON h.shard = l.shard AND h.epoch = l.epoch
  WHERE l.owner = %(owner)s AND l.until > clock_timestamp() FOR UPDATE OF l
), gone AS (
  DELETE FROM auditlog_outboxevent o
  WHERE o.ctid = ANY(%(places)s::tid[]) AND o.id = ANY(%(ids)s::bigint[]) AND o.shard IN (SELECT shard FROM held)
  RETURNING o.id, o.topic, o.event_id, o.occurred_at
)
INSERT INTO auditlog_outboxledger (topic, outbox_ids, event_ids, digest, relay, first_occurred_at, last_occurred_at,
                                   acknowledged_at)
SELECT topic, array_agg(id), array_agg(event_id), bit_xor(('x' || left(md5(event_id::text), 16))::bit(64)::bigint),
       %(owner)s, min(occurred_at), max(occurred_at), clock_timestamp()
FROM gone GROUP BY topic RETURNING cardinality(outbox_ids)
"""
# Take an event that can never be published out of the queue, fenced. Index: primary key (shard, id).
PARK = """
WITH held AS (
  SELECT l.shard FROM publishers_shardlease l
  WHERE l.shard = %(shard)s AND l.owner = %(owner)s AND l.epoch = %(epoch)s AND l.until > clock_timestamp() FOR UPDATE
)
UPDATE auditlog_outboxevent o SET parked_at = clock_timestamp(), parked_reason = %(reason)s
WHERE o.shard = %(shard)s AND o.id = %(id)s AND EXISTS (SELECT FROM held)
"""
# How many events wait in these shards, counted up to a number for each. Index: primary key (shard, id).
DEPTH = """
SELECT count(*) FROM unnest(%(shards)s::int[], %(floors)s::bigint[]) AS s (shard, floor)
CROSS JOIN LATERAL (
  SELECT FROM auditlog_outboxevent o
  WHERE o.shard = s.shard AND o.id > s.floor AND o.parked_at IS NULL ORDER BY o.id LIMIT %(most)s) e
"""
# Transactions under way, and how many events each shard has parked. Index: auditlog_outboxevent_parked.
SURVEY = """
SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint, coalesce((
  SELECT json_object_agg(shard, parked) FROM (
    SELECT shard, count(*) AS parked FROM (
      SELECT p.shard FROM auditlog_outboxevent p WHERE p.parked_at IS NOT NULL ORDER BY p.topic, p.key OFFSET 0) p
    GROUP BY shard) g), '{}')
FROM pg_current_snapshot() s
"""


def _numbers(values: Iterable[int]) -> str:
    """Return an array as one literal: the client quotes it once, and not each of its elements."""
    return "{" + ",".join(map(str, values)) + "}"


def fetching(*, scans: Sequence[Scan], stopped: Collection[str]) -> Statement:
    """Return what fetches events of these shards in one snapshot, those of a shard in the order of their ids."""
    values = {
        "shards": _numbers(scan.shard for scan in scans),
        "floors": _numbers(scan.floor for scan in scans),
        "rows": _numbers(scan.rows for scan in scans),
        "sizes": _numbers(scan.size for scan in scans),
        "stopped": list(stopped),
    }
    return FETCH, values


def fetch(connection: psycopg.Connection[Any], *, scans: Sequence[Scan], stopped: Collection[str]) -> list[Row]:
    """Return events of these shards: see `fetching`."""
    with connection.cursor(row_factory=_made_row) as cursor:
        return cursor.execute(*fetching(scans=scans, stopped=stopped)).fetchall()


def _made_row(_cursor: Any) -> Callable[[Sequence[Any]], Row]:
    return made


def acknowledging(*, rows: Sequence[Row], leases: Leases) -> Statement:
    """
    Return what deletes published rows and enters them in the ledger, in one transaction.

    Says how many, by topic: not those of shards that were lost meanwhile. Safe to repeat.
    """
    epochs = {shard: leases.held[shard] for shard in set(map(SHARD, rows)) if shard in leases.held}
    values = {
        "shards": _numbers(epochs),
        "epochs": _numbers(epochs.values()),
        "owner": leases.owner,
        "places": '{"' + '","'.join(map(PLACE, rows)) + '"}',
        "ids": _numbers(map(ID, rows)),
    }
    return ACKNOWLEDGE, values


def acknowledge(connection: psycopg.Connection[Any], *, rows: Sequence[Row], leases: Leases) -> int:
    """Let go of published rows in one round trip, and return how many: see `acknowledging`."""
    return sum(count for (count,) in connection.execute(*acknowledging(rows=rows, leases=leases)).fetchall())


def park(connection: psycopg.Connection[Any], *, row: Row, reason: str, leases: Leases) -> bool:
    """Take an event out of the queue that can never be published; it holds later events of its key."""
    values = {"shard": row.shard, "id": row.id, "reason": reason, "owner": leases.owner}
    return connection.execute(PARK, {**values, "epoch": leases.held.get(row.shard)}).rowcount == 1


def depth(connection: psycopg.Connection[Any], *, floors: Mapping[int, int], most: int) -> int:
    """Return how many events wait behind these ids, by shard; of each shard, `most` are counted at most."""
    values = {"shards": list(floors), "floors": list(floors.values()), "most": most}
    row = connection.execute(DEPTH, values).fetchone()
    return row[0] if row else 0


def survey(connection: psycopg.Connection[Any]) -> Survey:
    """Return what is going on."""
    return surveyed(connection.execute(SURVEY).fetchone())


def surveyed(row: tuple[Any, ...] | None) -> Survey:
    """Return what the row of a survey says."""
    xmin, xmax, parked = row or (0, 0, {})
    return Survey(xmin, xmax, {int(shard): count for shard, count in parked.items()})
