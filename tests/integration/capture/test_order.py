"""I3, I4: under concurrent writers the events of a row are an unbroken chain in the order of the outbox."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction
from django.db.models import F

from tests.conftest import Events
from tests.samples.models import Book, Country

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

WRITERS, TIMES = 6, 400


def in_threads(count: int, run: Callable[[int], None]) -> None:
    """Run in threads that begin together, each with connections of its own; raise what one of them raised."""
    barrier = threading.Barrier(count, timeout=30)
    raised: list[BaseException] = []

    def target(number: int) -> None:
        try:
            barrier.wait()
            run(number)
        except BaseException as exc:  # noqa: BLE001 - raised below, in the test's thread
            raised.append(exc)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=target, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    if raised:
        raise raised[0]


def test_i4_six_writers_of_one_row_leave_an_unbroken_chain(events: Events) -> None:
    book = Book.objects.create(title="Emma")
    events()

    def increment(number: int) -> None:
        for turn in range(TIMES):
            rows = Book.objects.filter(pk=book.pk)
            if number % 2:
                rows.update(quantity=F("quantity") + 1)
            else:
                with transaction.atomic():
                    held = rows.select_for_update().get()
                    held.quantity += 1
                    held.title = f"{number} {turn}"
                    held.save()

    in_threads(WRITERS, increment)
    chain = events()
    assert len(chain) == WRITERS * TIMES
    before = {event["after"]["quantity"]: event["after"] for event in chain}
    assert [event["after"]["quantity"] for event in chain] == list(range(1, WRITERS * TIMES + 1))
    assert all(event["before"] == before[event["before"]["quantity"]] for event in chain[1:])
    sequences = [event["source"]["sequence"] for event in chain]
    assert sequences == sorted(set(sequences))
    assert len({event["audit"]["event_id"] for event in chain}) == len(chain)


def test_i4_whole_rows_overwritten_at_once_chain_as_well(events: Events) -> None:
    book = Book.objects.create(title="0")
    events()

    def overwrite(number: int) -> None:
        stale = Book.objects.get(pk=book.pk)
        for turn in range(50):
            stale.title = f"{number}.{turn}"
            stale.save()

    in_threads(4, overwrite)
    chain = events()
    assert len(chain) == 4 * 50
    assert all(one["after"] == next_one["before"] for one, next_one in itertools.pairwise(chain))
    assert chain[-1]["after"]["title"] == Book.objects.get().title


def test_i4_rows_that_conflict_at_once_chain_from_the_first_insert_on(events: Events) -> None:
    def upsert(number: int) -> None:
        for turn in range(50):
            country = Country(code="CH", name=f"{number}.{turn}")
            Country.objects.bulk_create(
                [country], update_conflicts=True, unique_fields=["code"], update_fields=["name"]
            )

    in_threads(4, upsert)
    created, *chain = events()
    assert (created["op"], created["before"], len(chain)) == ("c", None, 4 * 50 - 1)
    assert all(one["after"] == following["before"] for one, following in itertools.pairwise([created, *chain]))
    assert chain[-1]["after"]["name"] == Country.objects.get().name
