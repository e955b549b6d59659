"""Outbox rows as capture writes them, put there by the tables' owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

INSERT = """
INSERT INTO auditlog_outboxevent (shard, topic, key, event_id, event_type, occurred_at, timeline, schema_version, value)
SELECT coalesce(%(shard)s, ('x' || substr(md5(%(topic)s || '/' || k), 1, 2))::bit(8)::int & 63), %(topic)s, k,
       gen_random_uuid(), 'auditlog.doctors.doctor.update.v1', clock_timestamp(), 1, NULL, %(value)s
FROM unnest(%(keys)s::text[]) WITH ORDINALITY u (k, n) ORDER BY n
RETURNING id, key, event_id::text
"""


@dataclass(frozen=True, slots=True)
class Committed:
    """What is known of an event in the outbox."""

    id: int
    key: str
    event_id: str


class Outbox:
    """The outbox, as its owner sees it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def add(
        self,
        topic: str,
        *keys: str,
        value: str = "{}",
        shard: int | None = None,
        using: psycopg.Connection[Any] | None = None,
    ) -> list[Committed]:
        """Record one event for each key, in this order."""
        values = {"topic": topic, "keys": list(keys), "value": value, "shard": shard}
        return [Committed(*row) for row in (using or self.connection).execute(INSERT, values).fetchall()]

    def ids(self) -> set[int]:
        """Return the ids of what is not published yet."""
        return {number for (number,) in self._all("SELECT id FROM auditlog_outboxevent")}

    def parked(self) -> dict[int, str]:
        """Return the ids of what is parked, and why."""
        return dict(self._all("SELECT id, parked_reason FROM auditlog_outboxevent WHERE parked_at IS NOT NULL"))

    def ledger(self) -> set[int]:
        """Return the ids of what the ledger knows; each is there once."""
        ids = [number for (number,) in self._all("SELECT unnest(outbox_ids) FROM auditlog_outboxledger")]
        assert len(ids) == len(set(ids))
        return set(ids)

    def owners(self) -> dict[int, str]:
        """Return who holds which shard now."""
        return dict(self._all("SELECT shard, owner FROM publishers_shardlease WHERE until > clock_timestamp()"))

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        ((number,),) = self._all(f"SELECT count(*) FROM {table}")
        return int(number)

    def run(self, statement: str, *values: Any) -> None:
        """Change something behind the relay's back."""
        self.connection.execute(statement.encode(), values or None)

    def _all(self, query: str) -> list[Any]:
        return self.connection.execute(query.encode()).fetchall()
