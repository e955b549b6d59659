"""The outbox as a consumer of its topics sees it: events, and contents put together from their chunks."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import psycopg

ROWS = "SELECT id, topic, key, value FROM auditlog_outboxevent WHERE id > %s ORDER BY id"


class Outbox:
    """The committed rows since the last look."""

    def __init__(self, owner: psycopg.Connection[Any]) -> None:
        self._owner, self._seen = owner, 0
        self.events: list[dict[str, Any]] = []
        self.chunks: list[dict[str, Any]] = []
        self.topics: set[str] = set()
        # Bytes of the largest value of a record.
        self.largest = 0
        # Every chunk since the beginning.
        self.sent: list[dict[str, Any]] = []

    def look(self) -> Outbox:
        """Read on."""
        rows = self._owner.execute(ROWS, [self._seen]).fetchall()
        self._seen = max([self._seen, *(number for number, *_ in rows)])
        values = [json.loads(value) for *_, value in rows]
        self.events = [value for value in values if "audit" in value]
        self.chunks = [value for value in values if "audit" not in value]
        self.sent += self.chunks
        self.topics = {topic for _, topic, _, _ in rows}
        self.largest = max((len(value.encode()) for *_, value in rows), default=0)
        assert all(
            value["sha256"] == key for (*_, key, _), value in zip(rows, values, strict=True) if "sha256" in value
        )
        return self

    def text(self, reference: Any) -> bytes:
        """Return the JSON text that a reference stands for, checked against its hash and its size."""
        assert list(reference) == ["$ref", "bytes"]
        sha256, size = reference["$ref"], reference["bytes"]
        parts = [chunk for chunk in self.sent if chunk["sha256"] == sha256]
        assert [part["chunk"] for part in parts] == list(range(parts[0]["chunks"]))
        assert {part["bytes"] for part in parts} == {size}
        whole = b"".join(base64.b64decode(part["data"], validate=True) for part in parts)
        assert (hashlib.sha256(whole).hexdigest(), len(whole)) == (sha256, size)
        return whole

    def value(self, reference: Any) -> Any:
        """Return the value that a reference stands for."""
        return json.loads(self.text(reference))
