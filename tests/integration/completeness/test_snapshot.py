"""The baseline of existing rows: each row once, as it is, masked, resumable, and never with a value that is gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from auditlog.registry import auditlog
from auditlog.roles import Role
from auditlog.signals import outbox_written
from tests.conftest import ConnectAs, Events, WaitUntil
from tests.integration.completeness.conftest import Run
from tests.samples.models import Book, Comic, Country, OrderLine, Shelf

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]
# Other roles may not see what a session waits with, but that it waits.
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start a thread with connections of its own; return it and where its result will be."""
    results: list[Any] = []

    def target() -> None:
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = threading.Thread(target=target)
    thread.start()
    return thread, results


def keys(events: list[dict[str, Any]]) -> list[str]:
    return [event["audit"]["object_pk"] for event in events]


def test_each_row_becomes_an_event_of_the_snapshot_with_masks(events: Events, run: Run) -> None:
    book = Book.objects.create(title="Emma", quantity=3, price="1.50", secret="plain", code="c", draft="no")
    (created,) = events()
    assert run("audit_snapshot", "samples.Book") == (
        0,
        {"rows": {"samples.book": 1}, "links": {"samples.book": 0}, "complete": True, "resume": None},
    )
    (event,) = events()
    assert (event["op"], event["before"], event["audit"]["action"]) == ("r", None, "snapshot")
    assert event["source"]["snapshot"] == "true"
    assert event["after"] == created["after"]
    assert (event["after"]["secret"], event["after"]["price"], "draft" in event["after"]) == ("***", "1.50", False)
    assert {name: event["source"][name] for name in ("schema", "table")} == {
        "schema": "public",
        "table": "samples_book",
    }
    assert (event["audit"]["object_pk"], event["audit"]["object_repr"]) == (str(book.pk), "Emma")
    assert event["audit"]["schema_version"] == created["audit"]["schema_version"]


def test_a_plain_table_is_recorded_in_batches_in_the_order_of_its_key(events: Events, run: Run) -> None:
    Shelf.objects.bulk_create(Shelf(name=str(number)) for number in range(7))
    created = events()
    assert run("audit_snapshot", "samples.Shelf", "--batch-rows", "3")[1]["rows"] == {"samples.shelf": 7}
    recorded = events()
    assert [(e["audit"]["object_pk"], e["after"]) for e in recorded] == [
        (e["audit"]["object_pk"], e["after"]) for e in created
    ]
    # One transaction for each batch.
    batches = [e["source"]["txId"] for e in recorded]
    assert [batches.count(batch) for batch in sorted(set(batches))] == [3, 3, 1]


def test_parents_and_children_have_streams_of_their_own(events: Events, run: Run) -> None:
    comic = Comic.objects.create(title="Asterix", colour=True)
    events()
    run("audit_snapshot", "samples.Comic", "samples.Book")
    child, parent = events()
    assert (child["audit"]["model"], child["after"]) == (
        "samples.comic",
        {"book_ptr_id": comic.pk, "colour": True},
    )
    assert (parent["audit"]["model"], parent["after"]["title"]) == ("samples.book", "Asterix")


def test_a_run_goes_on_after_a_key_also_of_two_columns(events: Events, run: Run) -> None:
    OrderLine.objects.bulk_create(OrderLine(tenant=t, number=n) for t in ('a"b', "acme") for n in (1, 2, 10))
    Country.objects.bulk_create(Country(code=code, name=code) for code in ("NL", "%s", "ÅX"))
    events()
    run("audit_snapshot", "samples.OrderLine", "--after", '["a\\"b",2]', "--batch-rows", "2")
    assert keys(events()) == ['["a\\"b",10]', '["acme",1]', '["acme",2]', '["acme",10]']
    run("audit_snapshot", "samples.Country", "--batch-rows", "1")
    ordered = keys(events())
    assert sorted(ordered) == ["%s", "NL", "ÅX"]
    run("audit_snapshot", "samples.Country", "samples.OrderLine", "--after", ordered[1])
    assert keys(events()) == [ordered[2], '["a\\"b",1]', *(f'["a\\"b",{n}]' for n in (2, 10))] + [
        f'["acme",{n}]' for n in (1, 2, 10)
    ]


def test_a_row_that_had_to_be_waited_for_is_recorded_once_with_its_new_value(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    first, second = Shelf.objects.create(name="old"), Shelf.objects.create(name="untouched")
    events()
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("UPDATE samples_shelf SET name = 'new' WHERE id = %s", [first.pk])
        thread, done = in_thread(lambda: run("audit_snapshot", "samples.Shelf")[0])
        wait_until(lambda: owner_connection.execute(WAITING).fetchone())
    thread.join(30)
    assert done == [0]
    assert [(e["after"]["id"], e["after"]["name"]) for e in events()] == [
        (first.pk, "new"),
        (second.pk, "untouched"),
    ]


def test_a_key_that_changes_meanwhile_takes_no_rows_out_of_the_snapshot(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    Country.objects.bulk_create(Country(code=code, name="") for code in "ABCD")
    events()
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("UPDATE samples_country SET code = 'Z' WHERE code = 'B'")
        thread, _ = in_thread(lambda: run("audit_snapshot", "samples.Country", "--batch-rows", "2"))
        wait_until(lambda: owner_connection.execute(WAITING).fetchone())
    thread.join(30)
    assert keys(events()) == ["A", "C", "D", "Z"]


def test_a_batch_that_lost_against_another_transaction_is_repeated(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any], connect_as: ConnectAs, wait_until: WaitUntil
) -> None:
    first, second = Shelf.objects.create(name="first"), Shelf.objects.create(name="second")
    events()
    writer = connect_as(Role.OWNER)

    def record() -> int:
        with connection.cursor() as cursor:
            # A changed row that had to be waited for is an error in this mode.
            cursor.execute("SET default_transaction_isolation = 'repeatable read'")
        return run("audit_snapshot", "samples.Shelf")[0]

    with writer.transaction():
        writer.execute("UPDATE samples_shelf SET name = 'changed' WHERE id = %s", [second.pk])
        thread, codes = in_thread(record)
        wait_until(lambda: owner_connection.execute(WAITING).fetchone())
    thread.join(30)
    assert codes == [0]
    assert [(e["after"]["id"], e["after"]["name"]) for e in events()] == [(first.pk, "first"), (second.pk, "changed")]


def test_masks_that_python_makes_are_applied(events: Events, run: Run) -> None:
    auditlog.register(Country, mask_fields=["name"], mask_callable=lambda text: text[:1] + "…")
    try:
        Country.objects.bulk_create([Country(code="NL", name="Nederland"), Country(code="A%", name="Aruba")])
        created = events()
        assert run("audit_snapshot", "samples.Country")[1]["rows"] == {"samples.country": 2}
    finally:
        auditlog.register(Country)
    recorded = events()
    assert [(e["op"], e["after"]) for e in recorded] == [
        ("r", {"code": "A%", "name": "A…"}),
        ("r", {"code": "NL", "name": "N…"}),
    ]
    assert {e["audit"]["schema_version"] for e in recorded} == {e["audit"]["schema_version"] for e in created}


def test_a_signal_ends_it_after_the_batch_and_it_says_how_to_go_on(events: Events) -> None:
    Shelf.objects.bulk_create(Shelf(name=str(number)) for number in range(4))
    Country.objects.create(code="NL", name="")
    created = events()

    def interrupt(**_kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    outbox_written.connect(interrupt)
    try:
        with pytest.raises(CommandError) as stopped:
            call_command("audit_snapshot", "samples.Shelf", "samples.Country", "--batch-rows", "2")
    finally:
        outbox_written.disconnect(interrupt)
    last = created[1]["audit"]["object_pk"]
    assert stopped.value.returncode == 1
    assert f"manage.py audit_snapshot samples.Shelf samples.Country --after {last}" in str(stopped.value)
    call_command("audit_snapshot", "samples.Shelf", "samples.Country", "--after", last)
    recorded = events()
    assert keys(recorded) == keys(created)
    assert {e["op"] for e in recorded} == {"r"}


def test_an_empty_table_is_done_at_once(events: Events, run: Run) -> None:
    assert run("audit_snapshot", "samples.Ticket")[1] == {
        "rows": {"samples.ticket": 0},
        "links": {},
        "complete": True,
        "resume": None,
    }
    assert events() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["samples.Unwatched"], "not registered"),
        (["samples.Nothing"], "no model"),
        (["nonsense"], "no model"),
        (["--after", "1"], "needs the models"),
        (["samples.OrderLine", "--after", "1"], "JSON array of 2"),
        (["samples.Shelf", "--after", "x"], "invalid input"),
        (["samples.Shelf", "--database", "nowhere"], "no database"),
        (["samples.Shelf", "--batch-rows", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_done_is_said(transactional_db: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("audit_snapshot", *arguments)


def test_a_failure_of_the_database_says_how_to_go_on(
    events: Events, run: Run, owner_connection: psycopg.Connection[Any]
) -> None:
    Shelf.objects.bulk_create(Shelf(name=str(number)) for number in range(4))
    owner_connection.execute("ALTER TABLE samples_country RENAME TO samples_gone")
    try:
        code, report = run("audit_snapshot", "samples.Shelf", "samples.Country")
    finally:
        owner_connection.execute("ALTER TABLE samples_gone RENAME TO samples_country")
    assert (code, report["complete"]) == (1, False)
    assert report["rows"] == {"samples.shelf": 4, "samples.country": 0}
    assert report["resume"] == "manage.py audit_snapshot samples.Country"
