"""A backlog of events of 1 kB, in the outbox or in a table of its own with nothing but a primary key."""

from __future__ import annotations

from typing import Any

import psycopg

# No model's topic: no consumer reads it.
TOPIC = "bench.backlog"
BARE_TABLE = "bench_backlog"
# The table of the bare loop: the outbox as one would first think of it.
BARE = f"""
CREATE TABLE {BARE_TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shard smallint, topic text, key text, event_id uuid,
    event_type text, occurred_at timestamptz, timeline integer, value text
)
"""
# About 1 kB of JSON, a quarter of which no other event has; 5,000 keys.
FILL = """
INSERT INTO {table} (shard, topic, key, event_id, event_type, occurred_at, timeline, value)
SELECT ('x' || substr(md5(topic || '/' || n %% 5000), 1, 2))::bit(8)::integer & 63, topic, (n %% 5000)::text,
       uuidv7(), 'auditlog.bench.audited.update.v1', clock_timestamp(), 1,
       concat('{{"before":{{"id":', n, ',"name":"', md5(n::text), md5((-n)::text), '","text":"', text,
              '"}},"after":{{"id":', n, ',"name":"', md5('a' || n), md5('b' || n), '","text":"', text, '"}}}}')
FROM generate_series(1, %(rows)s::integer) n, (SELECT %(topic)s::text, %(text)s::text) c (topic, text)
"""
TEXT = "Trained in London and Turin; sees patients on Mondays and Thursdays. " * 6
WAKE = "NOTIFY auditlog_outbox"


def fill(owner: psycopg.Connection[Any], *, table: str, rows: int) -> None:
    """Insert a backlog in one transaction and wake whoever waits for it."""
    with owner.transaction():
        owner.execute(FILL.format(table=table).encode(), {"topic": TOPIC, "text": TEXT, "rows": rows})
        owner.execute(WAKE)
