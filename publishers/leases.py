"""Shard leases: which relay may publish which shards, by the database's clock, fenced by epochs."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from publishers.models import SHARDS

# Say that this relay lives. Index: primary key.
JOIN = """
INSERT INTO publishers_relaymember (owner, until)
VALUES (%(owner)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (owner) DO UPDATE SET until = excluded.until
"""
# Count the relays that live. A handful of rows, no index.
COUNT = "SELECT count(*) FROM publishers_relaymember WHERE until > clock_timestamp()"
# Keep what is held and has not run out. 64 rows, no index.
RENEW = """
UPDATE publishers_shardlease SET until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE owner = %(owner)s AND until > clock_timestamp() RETURNING shard, epoch
"""
# Take free or expired shards. 64 rows, no index.
CLAIM = """
UPDATE publishers_shardlease
SET owner = %(owner)s, epoch = epoch + 1, until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE shard IN (
  SELECT shard FROM publishers_shardlease WHERE owner IS NULL OR until <= clock_timestamp()
  ORDER BY shard LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING shard, epoch
"""
# Give shards back at once. Index: primary key.
RELEASE = """
UPDATE publishers_shardlease SET owner = NULL, until = NULL WHERE owner = %(owner)s AND shard = ANY(%(shards)s)
"""
# Leave, and forget relays that died. A handful of rows, no index.
LEAVE = "DELETE FROM publishers_relaymember WHERE owner = %(owner)s OR until < clock_timestamp() - interval '1 hour'"


class Leases:
    """The shards of this relay. `held` maps each to its epoch and is trusted until `deadline` (monotonic) only."""

    def __init__(self, *, owner: str, seconds: float) -> None:
        self.owner = owner
        self.seconds = seconds
        self.held: dict[int, int] = {}
        self.deadline = 0.0
        self._renew_at = 0.0

    def valid(self) -> bool:
        """Return whether the leases surely hold now, however long this process was paused."""
        return time.monotonic() < self.deadline

    def due(self) -> bool:
        """Return whether it is time to renew."""
        return time.monotonic() >= self._renew_at

    def renew(self, connection: psycopg.Connection[Any]) -> None:
        """Keep the shards held; those that were lost disappear from `held`. Something may be in flight."""
        asked_at = time.monotonic()
        values = {"owner": self.owner, "seconds": self.seconds}
        with connection.transaction():
            connection.execute(JOIN, values)
            kept = dict(connection.execute(RENEW, values).fetchall())
        self.held = {shard: epoch for shard, epoch in kept.items() if self.held.get(shard) == epoch}
        # A third is left for a clock that runs differently and for what is on its way to the broker.
        self.deadline = asked_at + self.seconds * 2 / 3
        self._renew_at = asked_at + self.seconds / 4

    def balance(self, connection: psycopg.Connection[Any]) -> None:
        """Renew, then give up or claim shards towards the fair share. Nothing may be in flight."""
        self.renew(connection)
        row = connection.execute(COUNT).fetchone()
        share = -(-SHARDS // max(1, row[0] if row else 1))
        if len(self.held) > share:
            self._release(connection, sorted(self.held)[share:])
        elif len(self.held) < share:
            values = {"owner": self.owner, "seconds": self.seconds, "limit": share - len(self.held)}
            self.held |= dict(connection.execute(CLAIM, values).fetchall())

    def release(self, connection: psycopg.Connection[Any]) -> None:
        """Give everything back, so that another relay goes on at once."""
        self._release(connection, list(self.held))
        connection.execute(LEAVE, {"owner": self.owner})

    def _release(self, connection: psycopg.Connection[Any], shards: list[int]) -> None:
        connection.execute(RELEASE, {"owner": self.owner, "shards": shards})
        for shard in shards:
            self.held.pop(shard, None)
