"""Chunks of contents: kept once each, in any order, and complete only where they have the hash of their content."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from auditlog import topics
from auditlog.models import AuditLog, ContentChunk
from auditlog.queries.accounts import Window
from auditlog.roles import Role
from consumers.models import DeadLetter
from consumers.projector import Projector, Stored
from consumers.reasons import DeadLetterReason
from consumers.reconciliation.account import account_of
from consumers.reconciliation.comparison import Sides
from consumers.records import Batch, Partition, Record
from tests.integration.consumers.conftest import Connect
from tests.integration.consumers.processes import consumer, environment, wait_until
from tests.integration.consumers.topics import Topic, new_prefix
from tests.samples.models import Manuscript
from tests.unit.consumers.builders import uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

CONTENT = json.dumps("0123456789" * 10).encode()
OTHER = json.dumps("9876543210" * 10).encode()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Chunk = dict[str, Any]


def chunks_of(content: bytes, *, count: int = 4, **members: Any) -> list[Chunk]:
    """Return the values of the records that carry a content."""
    size = math.ceil(len(content) / count)
    return [
        {
            "event_id": str(uuid7(timezone.now())),
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "chunk": number,
            "chunks": count,
            "data": base64.b64encode(content[number * size : (number + 1) * size]).decode(),
            **members,
        }
        for number in range(count)
    ]


class Feed:
    """The partition of a topic that a projector reads."""

    def __init__(self, projector: Projector, topic: str = "") -> None:
        self._projector, self._at = projector, Partition(topic or topics.blobs_topic(), 3)
        self._next: int | None = None

    def store(self, *values: Chunk | bytes | None, key: bytes | None = None) -> Stored:
        """Store records in one batch."""
        first = self._next or 0
        records = tuple(
            Record(self._at, first + n, key, json.dumps(value).encode() if isinstance(value, dict) else value)
            for n, value in enumerate(values)
        )
        batch = Batch(records, {self._at: self._next})
        self._next = first + len(records)
        return self._projector.store(batch)


@pytest.fixture
def feed(projector: Projector) -> Feed:
    return Feed(projector)


def stored(content: bytes = CONTENT) -> list[tuple[int, bytes | None]]:
    """Return (number, bytes) of the chunks that are stored of a content, in the order of their arrival."""
    rows = ContentChunk.objects.using("default").filter(sha256=hashlib.sha256(content).hexdigest()).order_by("offset")
    return [(row.chunk, None if row.data is None else bytes(row.data)) for row in rows]


def whole() -> bytes:
    """Return the bytes of the content, of the chunks in their order."""
    return b"".join(data for _, data in sorted((n, data) for n, data in stored() if data is not None))


def letters() -> list[tuple[str, int]]:
    """Return (reason, offset) of the dead letters."""
    return list(DeadLetter.objects.using("default").order_by("offset").values_list("reason", "offset"))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
@pytest.mark.parametrize("at_once", [True, False])
def test_chunks_in_any_order_make_the_content(order: Sequence[int], at_once: bool, feed: Feed) -> None:
    chunks = chunks_of(CONTENT)
    arriving = [chunks[number] for number in order]
    if at_once:
        assert feed.store(*arriving) == Stored(4, 0, 0)
    else:
        assert [feed.store(chunk) for chunk in arriving] == [Stored(1, 0, 0)] * 4
    assert [number for number, _ in stored()] == list(order)
    assert whole() == CONTENT
    row = ContentChunk.objects.using("default").get(chunk=2)
    assert (str(row.event_id), row.bytes, row.topic, row.partition) == (
        chunks[2]["event_id"], len(CONTENT), topics.blobs_topic(), 3,
    )  # fmt: skip


def test_a_content_is_whole_whose_chunks_stand_on_both_sides_of_a_move(projector: Projector) -> None:
    chunks = chunks_of(CONTENT)
    Feed(projector).store(*chunks[:2])
    Feed(projector, f"{topics.blobs_topic()}.v2").store(*chunks[2:])
    assert whole() == CONTENT
    assert letters() == []


def test_i6_a_record_that_comes_again_changes_nothing(feed: Feed) -> None:
    chunks = chunks_of(CONTENT)
    feed.store(*chunks)
    assert feed.store(*chunks) == Stored(0, 4, 0)
    assert len(stored()) == 4


def test_a_content_that_was_sent_twice_is_stored_once_and_each_id_is_accounted_for(feed: Feed) -> None:
    first, second = chunks_of(CONTENT), chunks_of(CONTENT)
    feed.store(*first)
    assert feed.store(*second) == Stored(4, 0, 0)
    assert [data is None for _, data in stored()] == [False] * 4 + [True] * 4
    assert whole() == CONTENT
    assert letters() == []


def test_chunks_of_another_size_do_not_mix(feed: Feed) -> None:
    few, many = chunks_of(CONTENT, count=2), chunks_of(CONTENT, count=5)
    assert feed.store(few[0], *many[:4]) == Stored(5, 0, 0)
    assert feed.store(many[4], few[1]) == Stored(2, 0, 0)
    assert letters() == []


def test_a_chunk_that_would_make_another_content_is_a_dead_letter(feed: Feed) -> None:
    chunks = chunks_of(CONTENT)
    false = chunks_of(OTHER, sha256=SHA256)[3]
    assert feed.store(*chunks[:3], false) == Stored(3, 0, 1)
    assert letters() == [("hash_mismatch", 3)]
    # The right one is still welcome, and a false one cannot take its place.
    assert feed.store(chunks[3]) == Stored(1, 0, 0)
    later = chunks_of(OTHER, sha256=SHA256)[3]
    assert feed.store(later) == Stored(0, 0, 1)
    assert whole() == CONTENT
    assert letters() == [("hash_mismatch", 3), ("hash_mismatch", 5)]


@pytest.mark.parametrize("beginning", [("false",), ("true", "false")])
def test_a_content_with_a_false_chunk_is_made_whole_by_sending_it_again(beginning: Sequence[str], feed: Feed) -> None:
    chunks, at = chunks_of(CONTENT), timezone.now()
    false = chunks_of(OTHER, sha256=SHA256, event_id=str(uuid7(at + timedelta(milliseconds=1))))[0]
    feed.store(*({"true": chunks[0], "false": false}[kind] for kind in beginning))
    assert feed.store(*chunks[1:]) == Stored(2, 0, 1)
    again = [{**chunk, "event_id": str(uuid7(at + timedelta(seconds=1)))} for chunk in chunks_of(CONTENT)]
    assert feed.store(*again) == Stored(4, 0, 0)
    complete = (
        "SELECT encode(sha256(string_agg(data, '' ORDER BY chunk)), 'hex') FROM ("
        "SELECT DISTINCT ON (chunk) chunk, data FROM auditlog_contentchunk WHERE data IS NOT NULL "
        "ORDER BY chunk, event_id DESC) latest"
    )
    with connections["default"].cursor() as cursor:
        cursor.execute(complete)
        assert cursor.fetchone() == (SHA256,)


VALID = chunks_of(b'"abc"', count=1)[0]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, DeadLetterReason.EMPTY_VALUE),
        (b"{", DeadLetterReason.INVALID_JSON),
        (b'{"sha256": "\xff"}', DeadLetterReason.INVALID_JSON),
        ({**VALID, "sha256": "no hash"}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "chunk": 1}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "chunk": -1}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "chunks": 2**40}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "bytes": 6}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "chunks": 6, "chunk": 5, "data": ""}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "data": "~~~"}, DeadLetterReason.INVALID_EVENT),
        ({**VALID, "event_id": "019ab0c2-7c1e-4e0a-8d1e-3b1f0d6a2c11"}, DeadLetterReason.INVALID_EVENT_ID),
        ({**VALID, "data": base64.b64encode(b'"abd"').decode()}, DeadLetterReason.HASH_MISMATCH),
        ({name: value for name, value in VALID.items() if name != "data"}, DeadLetterReason.INVALID_EVENT),
    ],
)
def test_i7_a_malformed_chunk_is_a_dead_letter_and_no_obstacle(
    value: Chunk | bytes | None, reason: DeadLetterReason, feed: Feed
) -> None:
    assert feed.store(value, *chunks_of(CONTENT)) == Stored(4, 0, 1)
    assert letters() == [(reason.value, 0)]
    assert whole() == CONTENT


def test_a_chunk_under_the_key_of_another_content_is_a_dead_letter(feed: Feed) -> None:
    assert feed.store(VALID, key=SHA256.encode()) == Stored(0, 0, 1)
    assert feed.store(VALID, key=VALID["sha256"].encode()) == Stored(1, 0, 0)
    assert letters() == [("header_mismatch", 0)]


@pytest.mark.parametrize(
    "statement", ["UPDATE auditlog_contentchunk SET chunk = 1", "DELETE FROM auditlog_contentchunk"]
)
@pytest.mark.parametrize("role", [Role.APP, Role.RELAY, Role.CONSUMER, Role.READER])
def test_i11_no_role_of_the_service_changes_contents(statement: str, role: Role, as_role: Connect) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute(statement.encode())


def test_i12_what_capture_sent_is_accounted_for_by_id(projector: Projector) -> None:
    Manuscript.objects.create(body="x" * 1_500_000)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT topic, key, value FROM auditlog_outboxevent ORDER BY id")
        waiting = cursor.fetchall()
    window = Window(timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1))
    sides = Sides(connections["default"], connections["audit"])
    account = account_of(sides, window)
    assert (account.committed, account.stored, account.missing) == (4, 0, 4)
    places = [Partition(topic, 0) for topic, _, _ in waiting]
    records = tuple(
        Record(at, number, key.encode(), value.encode())
        for number, (at, (_, key, value)) in enumerate(zip(places, waiting, strict=True))
    )
    assert projector.store(Batch(records, dict.fromkeys(places))) == Stored(4, 0, 0)
    account = account_of(sides, window)
    assert (account.committed, account.stored, account.missing, account.unaccounted) == (4, 4, 0, 0)
    row = AuditLog.objects.using("default").get()
    reference = (row.after or {})["body"]
    assert (row.changes or {})["body"] == [None, reference]
    text = b'"' + b"x" * 1_500_000 + b'"'
    assert reference == {"$ref": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
    assert b"".join(data for _, data in stored(text) if data is not None) == text


@pytest.mark.processes
def test_i6_a_consumer_killed_between_two_chunks_completes_the_content(
    read_model: None, tmp_path: Path, as_role: Connect
) -> None:
    prefix = new_prefix()
    topic = Topic(name=f"{prefix}.auditlog.blobs", partitions=2)
    topic.create()
    variables = environment(prefix=prefix, CONSUMER_BATCH_ROWS="1")
    chunks = chunks_of(CONTENT, count=17)
    topic.produce(chunks, partition=1, key=SHA256.encode())
    blocker = as_role(Role.OWNER)
    blocker.autocommit = False
    blocker.execute(
        "INSERT INTO auditlog_contentchunk (event_id, stored_at, sha256, bytes, chunk, chunks, topic, partition, "
        "\"offset\") VALUES (%s, now(), '', 1, 0, 1, '', 0, 0)",
        [chunks[8]["event_id"]],
    )
    (xid,) = blocker.execute("SELECT pg_current_xact_id()::xid::text").fetchone() or ("",)
    with consumer(tmp_path / "one.log", variables) as first:
        watcher = as_role(Role.OWNER)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid::text = %s"
        wait_until(lambda: watcher.execute(waiting, [xid]).fetchone() == (1,), of=first)
        assert [number for number, _ in stored()] == list(range(8))
        first.kill()
    blocker.rollback()
    with consumer(tmp_path / "two.log", variables) as second:
        wait_until(lambda: len(stored()) >= 17, of=second)
        assert second.terminate() == 0
    assert [number for number, _ in stored()] == list(range(17))
    assert whole() == CONTENT
    topic.delete()
