"""Shard leases: which relay may publish which shards, by the database's clock, fenced by epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import psycopg

from publishers.models import SHARDS
from publishers.wake import BALANCE, CHANNEL

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
# Tell the other relays that there is something to balance.
TELL = f"NOTIFY {CHANNEL}, '{BALANCE}'"

# The seconds of a clock that nobody sets, and that goes on while the machine sleeps, where there is such a one.
now: Callable[[], float] = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leases:
    """The shards of this relay. `held` maps each to its epoch and is trusted until `deadline` only."""

    def __init__(self, *, owner: str, seconds: float, clock: Callable[[], float] = now) -> None:
        self.owner = owner
        self.seconds = seconds
        self.held: dict[int, int] = {}
        # Shards to give up as soon as nothing of them is in flight.
        self.leaving: frozenset[int] = frozenset()
        self._clock = clock
        self._deadline = 0.0
        self._renew_at = 0.0
        self._joined = False

    def valid(self) -> bool:
        """Return whether the leases surely hold now, however long this process was paused."""
        return self._clock() < self._deadline

    def due(self) -> bool:
        """Return whether it is time to renew."""
        return self._clock() >= self._renew_at

    def hurry(self) -> None:
        """Balance at the next opportunity: another relay came or went."""
        self._renew_at = 0.0

    def balance(self, connection: psycopg.Connection[Any], *, in_flight: Collection[int]) -> set[int]:
        """
        Renew, then give up or claim shards towards the fair share; returns shards that were lost to others.

        Shards with events in flight are given up later.
        """
        lost = self._renew(connection)
        row = connection.execute(COUNT).fetchone()
        share = -(-SHARDS // max(1, row[0] if row else 1))
        self.leaving = frozenset(sorted(self.held)[share:])
        if ready := sorted(self.leaving.difference(in_flight)):
            self._release(connection, ready)
        elif len(self.held) < share:
            values = {"owner": self.owner, "seconds": self.seconds, "limit": share - len(self.held)}
            self.held |= dict(connection.execute(CLAIM, values).fetchall())
        return lost

    def release(self, connection: psycopg.Connection[Any]) -> None:
        """Give everything back, so that another relay goes on at once."""
        connection.execute(LEAVE, {"owner": self.owner})
        self._release(connection, list(self.held))

    def _renew(self, connection: psycopg.Connection[Any]) -> set[int]:
        asked_at = self._clock()
        values = {"owner": self.owner, "seconds": self.seconds}
        with connection.transaction():
            connection.execute(JOIN, values)
            # What the database says is ours, also where the answer to a claim got lost with its connection.
            kept = dict(connection.execute(RENEW, values).fetchall())
        lost = {shard for shard, epoch in self.held.items() if kept.get(shard) != epoch}
        self.held = kept
        # A third is left for a clock that runs differently and for what is on its way to the broker.
        self._deadline = asked_at + self.seconds * 2 / 3
        self._renew_at = asked_at + self.seconds / 4
        if not self._joined:
            connection.execute(TELL)
            self._joined = True
        return lost

    def _release(self, connection: psycopg.Connection[Any], shards: list[int]) -> None:
        connection.execute(RELEASE, {"owner": self.owner, "shards": shards})
        for shard in shards:
            self.held.pop(shard, None)
        self.leaving -= set(shards)
        connection.execute(TELL)
