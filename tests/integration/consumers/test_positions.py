"""A position tells exactly what was stored, whoever stored what meanwhile, and in whatever order they committed."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from auditlog.models import AuditLog, ConsumerOffset, LateEvent
from auditlog.queries import positions
from auditlog.queries.positions import Position, stored_by
from auditlog.roles import Role
from consumers import offsets
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from tests.conftest import WaitUntil
from tests.integration.consumers.conftest import GROUP, Connect
from tests.unit.consumers.builders import event, record, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
TOPIC = "test.doctors.doctor"
ONE, TWO = Partition(TOPIC, 0), Partition(TOPIC, 1)


def new(offset: int, *, partition: Partition = ONE) -> Record:
    """Return the record of a new event."""
    at = timezone.now()
    return record(event(at=at, event_id=str(uuid7(at))), partition=partition, offset=offset)


def id_of(stored: Record) -> uuid.UUID:
    """Return the id of an event."""
    return uuid.UUID(json.loads(stored.value or b"")["audit"]["event_id"])


def held_at(position: Position) -> set[uuid.UUID]:
    """Return the ids of the rows that were stored at a position."""
    return set(AuditLog.objects.filter(stored_by(position)).values_list("event_id", flat=True))


def late() -> list[tuple[int, uuid.UUID]]:
    """Return the late events by their numbers."""
    return list(LateEvent.objects.order_by("number").values_list("number", "event_id"))


def store_again(projector: Projector, *records: Record) -> None:
    """Store as a repair does."""
    with transaction.atomic(using="audit"):
        projector.store_again(records)


def seek(following: int, *, expected: int, partition: Partition = ONE) -> None:
    """Move the offset of a partition as `consumer_seek` does."""
    with transaction.atomic(using="audit"):
        offsets.move(
            connections["audit"], group=GROUP, expected={partition: expected}, following={partition: following}
        )


def test_a_position_holds_what_is_stored_and_nothing_that_comes_later(projector: Projector) -> None:
    first, later = [new(0), new(1), new(0, partition=TWO)], [new(2), new(1, partition=TWO)]
    assert held_at(positions.now()) == set()
    projector.store(Batch(tuple(first), {ONE: None, TWO: None}))
    position = positions.now()
    assert position == Position({ONE: 2, TWO: 1})
    third = Partition(TOPIC, 2)
    projector.store(Batch((*later, new(0, partition=third)), {ONE: 2, TWO: 1, third: None}))
    assert held_at(position) == set(map(id_of, first))
    assert len(held_at(positions.now())) == 6
    assert late() == []


def test_rows_of_a_topic_count_as_stored_until_a_consumer_stores_from_it(projector: Projector) -> None:
    brought = Partition("test.of.old", 0)
    projector.store(Batch((new(0), new(0, partition=brought)), {ONE: None, brought: None}))
    # As if they had been copied.
    ConsumerOffset.objects.using("default").filter(topic=brought.topic).delete()
    before = positions.now()
    assert (before, len(held_at(before))) == (Position({ONE: 1}), 2)
    projector.store(Batch((new(1), new(3, partition=brought)), {ONE: 1, brought: None}))
    assert len(held_at(before)) == 1
    assert len(held_at(positions.now())) == 4


def test_what_a_repair_stores_is_late(projector: Projector) -> None:
    lost, ahead = new(1), new(9)
    projector.store(Batch((new(0), new(2)), {ONE: None}))
    before = positions.now()
    store_again(projector, lost)
    assert (late(), len(held_at(before)), len(held_at(positions.now()))) == ([(1, id_of(lost))], 2, 3)
    # Where no consumer is yet, and again when one passes by.
    store_again(projector, ahead, lost)
    between = positions.now()
    assert len(held_at(between)) == 4
    projector.store(Batch((new(3), ahead), {ONE: 3}))
    assert (late()[1:], len(held_at(before)), len(held_at(between))) == ([(2, id_of(ahead))], 2, 4)
    assert len(held_at(positions.now())) == 5


def test_what_is_read_again_after_a_move_back_is_late_up_to_where_it_was(projector: Projector) -> None:
    projector.store(Batch((new(0), new(5)), {ONE: None}))
    seek(8, expected=6)
    before = positions.now()
    seek(1, expected=8)
    assert positions.now() == before == Position({ONE: 8})
    seek(0, expected=1)
    assert positions.now() == before
    skipped, fresh = [new(6), new(7)], new(8)
    projector.store(Batch((*skipped, fresh), {ONE: 0}))
    assert [event_id for _number, event_id in late()] == [id_of(one) for one in skipped]
    assert (len(held_at(before)), positions.now()) == (2, Position({ONE: 9}, late=2))
    projector.store(Batch((new(9),), {ONE: 9}))
    assert (len(late()), len(held_at(positions.now()))) == (2, 6)


def test_what_a_replay_stores_is_late(projector: Projector) -> None:
    projector.store(Batch((new(0), new(2)), {ONE: None}))
    before = positions.now()
    found = [new(1), new(5), new(7, partition=TWO)]
    Projector(group="replay-x").store(Batch(tuple(found), {ONE: None, TWO: None}))
    assert {event_id for _number, event_id in late()} == set(map(id_of, found))
    assert (len(held_at(before)), len(held_at(positions.now()))) == (2, 5)
    # Somebody has been there: the consumer's first batch is not new ground.
    between = positions.now()
    projector.store(Batch((new(3, partition=TWO), new(8, partition=TWO)), {TWO: None}))
    assert (len(late()), len(held_at(between)), len(held_at(positions.now()))) == (4, 5, 7)


def test_another_name_of_the_group_changes_no_position(projector: Projector, settings: Any) -> None:
    projector.store(Batch((new(0), new(1), new(0, partition=TWO)), {ONE: None, TWO: None}))
    before, settings.KAFKA_CONSUMER_GROUP = positions.now(), "renamed"
    assert positions.now() == before
    Projector(group="renamed").store(Batch((new(0),), {ONE: None}))
    assert positions.now() == Position(before.offsets, late=1)
    assert len(held_at(before)) == 3


def test_a_late_event_that_was_removed_and_stored_again_is_late_again(projector: Projector) -> None:
    lost = new(1)
    store_again(projector, lost)
    AuditLog.objects.using("default").all().delete()
    without = positions.now()
    store_again(projector, lost)
    assert late() == [(1, id_of(lost)), (2, id_of(lost))]
    assert (held_at(without), held_at(positions.now())) == (set(), {id_of(lost)})


def test_two_repairs_at_once_cannot_make_a_reader_skip_one(
    projector: Projector, as_role: Connect, wait_until: WaitUntil
) -> None:
    # So that they do not wait for each other's shape.
    projector.store(Batch((new(2),), {ONE: None}))
    first, second = new(0), new(1)
    waiting = as_role(Role.OWNER)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic(using="audit"):
            projector.store_again([first])
            other: Future[None] = pool.submit(in_thread, lambda: store_again(Projector(group=GROUP), second))
            # It cannot be numbered before the first, nor commit without it.
            wait_until(lambda: waiting.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
            assert waiting.execute("SELECT count(*) FROM auditlog_lateevent").fetchone() == (0,)
        other.result()
    assert late() == [(1, id_of(first)), (2, id_of(second))]


def in_thread(work: Callable[[], None]) -> None:
    """Do something with connections of its own."""
    try:
        work()
    finally:
        connections.close_all()


def test_every_position_stays_what_it_was_while_everybody_writes(projector: Projector) -> None:
    """Consumers, replays, repairs and moves back commit in any order; each position is what one snapshot held."""
    pinned: list[tuple[Position, set[uuid.UUID]]] = []
    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(in_thread, partial(consume, number)) for number in range(3)]
        writers += [pool.submit(in_thread, repair), pool.submit(in_thread, replay)]
        while not all(writer.done() for writer in writers):
            with transaction.atomic(using="audit"):
                with connections["audit"].cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                there = set(AuditLog.objects.values_list("event_id", flat=True))
                pinned.append((positions.now(), there))
    for writer in writers:
        writer.result()
    assert len({position.to_text() for position, _there in pinned}) > 10
    for position, there in pinned:
        assert held_at(Position.from_text(position.to_text())) == there
    assert len(late()) > 20
    assert sorted(AuditLog.objects.filter(late__isnull=False).values_list("late", "event_id")) == late()


def consume(number: int) -> None:
    """Store from a partition of one's own, now and then going back to what was skipped."""
    chance, partition, mine = random.Random(number), Partition(TOPIC, number), Projector(group=GROUP)
    position: int | None = None
    for _ in range(25):
        start = position or 0
        batch = Batch(tuple(new(start + n, partition=partition) for n in (0, 2, 3)), {partition: position})
        assert mine.store(batch).events == 3
        position = start + 4
        if chance.random() < 0.3:
            seek(start, expected=position, partition=partition)
            again = Batch((new(start + 1, partition=partition), *batch.records[1:]), {partition: start})
            assert mine.store(again).events == 1


def repair() -> None:
    """Store what is on the partitions of others, one after the other in transactions that take their time."""
    mine = Projector(group=GROUP)
    for number in range(15):
        with transaction.atomic(using="audit"):
            for partition in (ONE, TWO, Partition(TOPIC, 2)):
                assert mine.store_again([new(number * 7, partition=partition)]) == []


def replay() -> None:
    """Store ahead of the consumers."""
    mine = Projector(group="replay-x")
    for number in range(15):
        position = number * 9 or None
        assert mine.store(Batch((new(number * 9 + 8, partition=ONE),), {ONE: position})).events == 1


def test_ordinary_consumption_pays_nothing_for_late_events(projector: Projector) -> None:
    projector.store(Batch((new(0), new(0, partition=TWO)), {ONE: None, TWO: None}))
    with CaptureQueriesContext(connections["audit"]) as captured:
        projector.store(Batch((new(1), new(1, partition=TWO)), {ONE: 1, TWO: 1}))
    statements = [query["sql"].split()[0] for query in captured.captured_queries]
    # What bounds the transaction; the offsets; is there a partition; the stage, emptied and filled; the rows.
    assert statements == [
        *("BEGIN", "SELECT", "UPDATE", "SAVEPOINT", "SELECT", "CREATE"),
        *("DELETE", "COPY", "INSERT", "RELEASE", "COMMIT"),
    ]


def test_a_page_at_a_position_keeps_its_index(projector: Projector) -> None:
    projector.store(Batch(tuple(new(number) for number in range(3_000)), {ONE: None}))
    with connections["default"].cursor() as cursor:
        cursor.execute("ANALYZE auditlog_auditlog")
    page = AuditLog.objects.filter(stored_by(positions.now())).order_by("-occurred_at", "-event_id")[:50]
    plan = page.explain(analyze=True)
    assert "Index Scan Backward" in plan
    assert "Seq Scan on auditlog_auditlog" not in plan
    assert "Sort  (" not in plan
