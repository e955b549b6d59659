"""
The contents of large values: chunks out of their topic, each kept with its id, in whatever order and however often.

What is complete is what its hash says: a chunk that would complete a content to anything else is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.types.json import Jsonb

from consumers.deadletters import Undeliverable
from consumers.decode import UUID_VERSION, Rejected, foreign, mislabelled
from consumers.faults import DATABASE_ERRORS, ConsumerError, described, is_data_error
from consumers.reasons import DeadLetterReason
from consumers.records import Record, described_headers

# Bytes that are stored already are not stored again; the row says that the record came. Indexes, here and below: the
# primary key, and auditlog_contentchunk_bytes.
STORE = """
INSERT INTO auditlog_contentchunk (
    event_id, stored_at, sha256, bytes, chunk, chunks, topic, partition, "offset", headers, data
)
SELECT g.event_id, clock_timestamp(), g.sha256, g.bytes, g.chunk, g.chunks, g.topic, g.partition, g."offset",
    g.headers, CASE
    WHEN g.data IS DISTINCT FROM (
        SELECT c.data FROM auditlog_contentchunk c
        WHERE c.sha256 = g.sha256 AND c.chunks = g.chunks AND c.chunk = g.chunk AND c.data IS NOT NULL
        ORDER BY c.event_id DESC LIMIT 1
    ) THEN g.data END
FROM (VALUES (%s::uuid, %s, %s::bigint, %s::integer, %s::integer, %s, %s::integer, %s::bigint, %s::jsonb, %s::bytea))
  AS g (event_id, sha256, bytes, chunk, chunks, topic, partition, "offset", headers, data)
ON CONFLICT (event_id) DO NOTHING
RETURNING data IS NOT NULL
"""
COUNT = "SELECT count(DISTINCT chunk) FROM auditlog_contentchunk WHERE sha256 = %s AND chunks = %s AND data IS NOT NULL"
# Of bytes that differ, those that came last count.
HASH = """
SELECT encode(sha256(string_agg(data, '' ORDER BY chunk)), 'hex') FROM (
    SELECT DISTINCT ON (chunk) chunk, data FROM auditlog_contentchunk
    WHERE sha256 = %s AND chunks = %s AND data IS NOT NULL ORDER BY chunk, event_id DESC
) latest
"""

Octets = bytes
# Whole numbers that a PostgreSQL integer holds.
Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Chunk(msgspec.Struct, frozen=True):
    """One of the parts in which a content travels."""

    event_id: UUID
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Count
    chunk: Annotated[int, msgspec.Meta(ge=0)]
    chunks: Count
    data: Octets

    @property
    def expected_bytes(self) -> int:
        """Return how many bytes this part has: all but the last have the same number."""
        size = -(-self.bytes // self.chunks)
        return min(size, self.bytes - self.chunk * size)


class Damaged(ConsumerError):
    """The chunks of a content do not have its hash together."""


_decoder = msgspec.json.Decoder(Chunk)


def decode(record: Record) -> Chunk | Rejected:
    """Return the chunk that a record holds, or why it holds none. Pure."""
    if rejected := foreign(record):
        return rejected
    if not record.value:
        return Rejected(DeadLetterReason.EMPTY_VALUE, "The record has no value.")
    try:
        chunk = _decoder.decode(record.value)
    except msgspec.ValidationError as exc:
        return Rejected(DeadLetterReason.INVALID_EVENT, str(exc))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        return Rejected(DeadLetterReason.INVALID_JSON, str(exc))
    return _contradiction(record, chunk) or mislabelled(record, chunk.event_id) or chunk


def store(connection: BaseDatabaseWrapper, received: Sequence[tuple[Record, Chunk]]) -> tuple[int, list[Undeliverable]]:
    """Keep chunks in the caller's transaction; return how many are new, and those that cannot be kept."""
    count, dead = 0, []
    for record, chunk in received:
        try:
            with transaction.atomic(using=connection.alias):
                count += _insert(connection, record, chunk)
        except Damaged as exc:
            dead.append(Undeliverable(record, DeadLetterReason.HASH_MISMATCH, str(exc)))
        except DATABASE_ERRORS as exc:
            if not is_data_error(exc):
                raise
            dead.append(Undeliverable(record, DeadLetterReason.REFUSED_BY_DATABASE, described(exc)))
    return count, dead


def _contradiction(record: Record, chunk: Chunk) -> Rejected | None:
    if chunk.event_id.version != UUID_VERSION:
        return Rejected(DeadLetterReason.INVALID_EVENT_ID, "`event_id` is no UUIDv7.")
    if chunk.chunk >= chunk.chunks or not chunk.data or len(chunk.data) != chunk.expected_bytes:
        return Rejected(DeadLetterReason.INVALID_EVENT, "`data` is not as long as the numbers say.")
    if record.key is not None and record.key != chunk.sha256.encode():
        return Rejected(DeadLetterReason.HEADER_MISMATCH, "The key is not `sha256`.")
    if chunk.chunks == 1 and hashlib.sha256(chunk.data).hexdigest() != chunk.sha256:
        return Rejected(DeadLetterReason.HASH_MISMATCH, str(Damaged()))
    return None


def _insert(connection: BaseDatabaseWrapper, record: Record, chunk: Chunk) -> int:
    place = (record.partition.topic, record.partition.number, record.offset)
    content: list[Any] = [chunk.sha256, chunk.chunks]
    headers = Jsonb(described_headers(record.headers or ()))
    numbers = (chunk.bytes, chunk.chunk, chunk.chunks)
    values: list[Any] = [chunk.event_id, chunk.sha256, *numbers, *place, headers, chunk.data]
    with connection.cursor() as cursor:
        cursor.execute(STORE, values)
        stored = cursor.fetchone()
        if stored == (True,):
            cursor.execute(COUNT, content)
            if cursor.fetchone() == (chunk.chunks,):
                cursor.execute(HASH, content)
                if cursor.fetchone() != (chunk.sha256,):
                    raise Damaged
    return 0 if stored is None else 1
