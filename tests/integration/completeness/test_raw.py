"""I2: raw SQL of one's own is captured where it says which rows it writes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from auditlog.context import disable_auditlog, set_actor
from auditlog.errors import NotRegistered
from auditlog.raw import MixedWrites, capture_rows
from auditlog.registry import auditlog
from auditlog.roles import Role
from tests.conftest import ConnectAs, Events
from tests.integration.capture.conftest import differences
from tests.integration.completeness.conftest import raw
from tests.samples.models import Book, Country, Measured, OrderLine, Shelf, Unwatched

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def told(events: Events) -> list[tuple[str, str, dict[str, Any]]]:
    return [(e["op"], e["audit"]["object_pk"], differences(e)) for e in events()]


def test_changes_deletions_and_insertions_become_events(events: Events) -> None:
    Country.objects.bulk_create(Country(code=code, name="old") for code in ("AA", "BB", "CC", "DD"))
    events()
    with transaction.atomic(), set_actor("importer"), capture_rows(Country, ["AA", "BB", "CC", "NEW"]):
        raw("UPDATE samples_country SET name = 'new' WHERE code IN ('AA', 'DD')")
        raw("DELETE FROM samples_country WHERE code = 'BB'")
        with transaction.atomic():
            raw("INSERT INTO samples_country (code, name) VALUES ('NEW', 'x')")
    recorded = events()
    assert [(e["op"], e["audit"]["object_pk"], differences(e)) for e in recorded] == [
        ("u", "AA", {"name": ("old", "new")}),
        ("d", "BB", {"code": ("BB", None), "name": ("old", None)}),
        ("c", "NEW", {"code": (None, "NEW"), "name": (None, "x")}),
    ]
    assert {e["audit"]["actor"]["repr"] for e in recorded} == {"importer"}


def test_composite_keys_and_masks_are_known(events: Events) -> None:
    OrderLine.objects.create(tenant="a", number=1)
    book = Book.objects.create(title="Emma", secret="plain", code="c")
    events()
    with transaction.atomic(), capture_rows(OrderLine, [("a", 1), ("a", "1")]), capture_rows(Book, [book.pk]):
        raw("UPDATE samples_orderline SET amount = 3")
        raw("UPDATE samples_book SET secret = 'another', quantity = 2")
    first, second = events()
    assert (first["audit"]["model"], first["after"]["secret"]) == ("samples.book", "***")
    assert (first["audit"]["masked_changed"], first["after"]["double"]) == (["secret"], 4)
    assert (second["audit"]["object_pk"], differences(second)) == ('["a",1]', {"amount": (0, 3)})


def test_values_survive_any_session(events: Events) -> None:
    row = Measured.objects.create(ratio=0.1, lasts="3 04:05:06", at="2026-01-02T03:04:05.678Z", blob=b"\x00\xff")
    (created,) = events()
    raw("SET extra_float_digits = -5; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'")
    try:
        with transaction.atomic(), capture_rows(Measured, [row.pk]):
            raw("SET LOCAL TimeZone = 'Asia/Tokyo'; UPDATE samples_measured SET address = '::1'")
    finally:
        raw("RESET extra_float_digits; RESET DateStyle; RESET IntervalStyle")
    (event,) = events()
    assert event["before"] == created["after"]
    assert event["after"] == {**created["after"], "address": "::1"}


def test_what_changes_nothing_leaves_no_event(events: Events) -> None:
    shelf = Shelf.objects.create(name="a")
    events()
    with transaction.atomic(), capture_rows(Shelf, [shelf.pk, 0]):
        raw("UPDATE samples_shelf SET name = name")
    assert events() == []


def test_i1_events_share_the_fate_of_the_transaction(events: Events) -> None:
    shelf = Shelf.objects.create(name="a")
    events()

    class Failed(Exception):
        """Of the block."""

    def fail() -> None:
        with transaction.atomic(), capture_rows(Shelf, [shelf.pk]):
            raw("UPDATE samples_shelf SET name = 'b'")
            raise Failed

    with pytest.raises(Failed):
        fail()
    with transaction.atomic():
        with capture_rows(Shelf, [shelf.pk]):
            raw("UPDATE samples_shelf SET name = 'b'")
        transaction.set_rollback(True)
    assert events() == []


def test_rows_that_others_inserted_meanwhile_are_theirs(events: Events, connect_as: ConnectAs) -> None:
    with transaction.atomic(), capture_rows(Country, ["NL"]):
        raw("SELECT 1")
        connect_as(Role.OWNER).execute("INSERT INTO samples_country (code, name) VALUES ('NL', 'by another')")
    assert events() == []


def test_masks_that_python_makes_are_applied(events: Events) -> None:
    auditlog.register(Country, mask_fields=["name"], mask_callable=lambda text: text[:1] + "…")
    try:
        Country.objects.create(code="NL", name="Nederland")
        events()
        with transaction.atomic(), capture_rows(Country, ["NL"]):
            raw("UPDATE samples_country SET name = 'Holland'")
    finally:
        auditlog.register(Country)
    (event,) = events()
    assert (event["before"]["name"], event["after"]["name"]) == ("N…", "H…")
    assert event["audit"]["masked_changed"] == ["name"]


def test_the_orm_may_not_write_the_same_model_inside(events: Events) -> None:
    shelf = Shelf.objects.create(name="a")
    events()
    with pytest.raises(MixedWrites), transaction.atomic(), capture_rows(Shelf, [shelf.pk]):
        Shelf.objects.update(name="b")
    with transaction.atomic(), capture_rows(Shelf, [shelf.pk]):
        Country.objects.create(code="NL", name="")
        raw("UPDATE samples_shelf SET name = 'c'")
    assert told(events) == [
        ("c", "NL", {"code": (None, "NL"), "name": (None, "")}),
        ("u", str(shelf.pk), {"name": ("a", "c")}),
    ]


def test_a_model_with_masks_of_python_is_refused_too(events: Events) -> None:
    auditlog.register(Country, mask_fields=["name"], mask_callable=str.upper)
    try:
        with pytest.raises(MixedWrites), transaction.atomic(), capture_rows(Country, ["NL"]):
            Country.objects.create(code="NL", name="Nederland")
    finally:
        auditlog.register(Country)
    assert events() == []


def test_where_auditing_is_disabled_the_gap_is_told(events: Events) -> None:
    shelf = Shelf.objects.create(name="a")
    events()
    with transaction.atomic(), disable_auditlog(reason="clean-up"), capture_rows(Shelf, [shelf.pk]):
        raw("UPDATE samples_shelf SET name = 'b'")
    (event,) = events()
    assert (event["audit"]["action"], event["audit"]["data"]) == ("auditing_disabled", {"model": "samples.shelf"})


def test_outside_of_a_transaction_it_is_an_error(transactional_db: None) -> None:
    with pytest.raises(transaction.TransactionManagementError, match="atomic"), capture_rows(Shelf, [1]):
        pass


def test_a_model_that_is_not_registered_is_an_error(transactional_db: None) -> None:
    with pytest.raises(NotRegistered, match="Unwatched"), transaction.atomic(), capture_rows(Unwatched, [1]):
        pass
