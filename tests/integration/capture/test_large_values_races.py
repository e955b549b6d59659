"""I8: who sends which content is nobody's reason to wait, to fail, or to believe what did not commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from auditlog.capture.plans import forget_plans
from tests.integration.capture.contents import Outbox
from tests.samples.models import Manuscript

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]
A, B = "a" * 70_000, "b" * 70_000
DEADLINE_SECONDS = 30
Open = Callable[[str], "Session"]


class Session:
    """A connection of a thread of its own, in a transaction; what waits for a lock fails at once."""

    def __init__(self, isolation: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._run(self._begin, isolation)

    def write(self, *bodies: str) -> None:
        """Insert rows, one statement each."""
        for body in bodies:
            self._run(Manuscript.objects.create, body=body)

    def read(self) -> int:
        """Take the snapshot of the transaction, if it has one."""
        count: int = self._run(Manuscript.objects.count)
        return count

    def commit(self) -> None:
        """End the transaction."""
        self._run(self._end, "commit")

    def rollback(self) -> None:
        """Undo the transaction."""
        self._run(self._end, "rollback")

    def close(self) -> None:
        """End the thread."""
        self._run(self._end, "close")
        self._thread.shutdown()

    @staticmethod
    def _begin(isolation: str) -> None:
        connection.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            cursor.execute("SET LOCAL lock_timeout = '2s'")

    @staticmethod
    def _end(how: str) -> None:
        getattr(connection, how)()

    def _run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._thread.submit(call, *args, **kwargs).result(DEADLINE_SECONDS)


@pytest.fixture
def session(transactional_db: None) -> Iterator[Open]:
    opened: list[Session] = []

    def begin(isolation: str) -> Session:
        opened.append(Session(isolation))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


@pytest.fixture
def outbox(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Outbox:
    return Outbox(owner_connection)


def sent(outbox: Outbox) -> list[int]:
    """Return how often each content was sent, and see that every reference can be followed."""
    known = {chunk["sha256"] for chunk in outbox.look().sent}
    assert {event["after"]["body"]["$ref"] for event in outbox.events} <= known
    return sorted(Counter(chunk["sha256"] for chunk in outbox.sent).values())


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_i8_transactions_that_send_the_same_contents_in_opposite_orders_do_not_wait(
    isolation: str, session: Open, outbox: Outbox
) -> None:
    one, other = session(isolation), session(isolation)
    one.write(A)
    other.write(B)
    one.write(B)
    other.write(A)
    one.commit()
    other.commit()
    assert sent(outbox) == [2, 2]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_i8_a_content_that_was_noted_after_the_snapshot_is_sent_again(
    isolation: str, session: Open, outbox: Outbox
) -> None:
    late = session(isolation)
    assert late.read() == 0
    Manuscript.objects.create(body=A)
    late.write(A)
    late.commit()
    assert sent(outbox) == [2]


def test_i8_what_one_transaction_noted_the_next_one_does_not_send(session: Open, outbox: Outbox) -> None:
    Manuscript.objects.create(body=A)
    later = session("REPEATABLE READ")
    later.write(A, A)
    later.commit()
    assert sent(outbox) == [1]


def test_i8_serializable_transactions_with_contents_of_their_own_both_commit(session: Open, outbox: Outbox) -> None:
    # Each would look where the other one notes something: a conflict.
    one, other = session("SERIALIZABLE"), session("SERIALIZABLE")
    one.write(A)
    other.write(B)
    one.write("c" * 70_000)
    other.write("d" * 70_000)
    one.commit()
    other.commit()
    assert sent(outbox) == [1, 1, 1, 1]


def test_i1_a_rollback_takes_the_note_along(session: Open, outbox: Outbox) -> None:
    undone = session("READ COMMITTED")
    undone.write(A)
    undone.rollback()
    Manuscript.objects.create(body=A)
    assert sent(outbox) == [1]


def test_i1_a_rolled_back_savepoint_takes_the_note_along(outbox: Outbox) -> None:
    with transaction.atomic():
        savepoint = transaction.savepoint()
        Manuscript.objects.create(body=A)
        transaction.savepoint_rollback(savepoint)
        Manuscript.objects.create(body=A)
    assert sent(outbox) == [1]


def test_i5_another_topic_gets_the_contents_that_the_first_one_got(outbox: Outbox, settings: Any) -> None:
    Manuscript.objects.create(body=A)
    prefix, settings.AUDITLOG_TOPIC_PREFIX = settings.AUDITLOG_TOPIC_PREFIX, "elsewhere"
    forget_plans()
    try:
        Manuscript.objects.create(body=A)
    finally:
        settings.AUDITLOG_TOPIC_PREFIX = prefix
        forget_plans()
    assert sent(outbox) == [2]
    assert {"elsewhere.auditlog.blobs", f"{prefix}.auditlog.blobs"} < outbox.topics
