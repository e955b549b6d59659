"""I2: a write of an instance that passes by the compilers is found by its receiver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from prometheus_client import REGISTRY

from auditlog.capture.compilers import install
from auditlog.errors import UncapturedWrite
from auditlog.metrics import UncapturedReason
from auditlog.registry import auditlog
from tests.conftest import Events
from tests.samples.models import Book, Genre, OrderLine, Shelf

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def without_compilers(transactional_db: None) -> Iterator[None]:
    """Let all writes pass by, as a backend does that brings other compilers."""
    operations: Any = connection.ops
    ours = type(operations).compiler_module
    Shelf.objects.create(name="the functions are found")
    type(operations).compiler_module, operations._cache = "django.db.backends.postgresql.compiler", None
    yield
    type(operations).compiler_module = ours
    install()


def counted(label: str, reason: UncapturedReason) -> float:
    labels = {"model": label, "reason": reason.value}
    return REGISTRY.get_sample_value("auditlog_uncaptured_writes_total", labels) or 0


@pytest.mark.usefixtures("without_compilers")
def test_i2_in_a_transaction_the_receiver_records_what_the_table_holds(events: Events) -> None:
    before = counted("samples.book", UncapturedReason.CAPTURED_LATE)
    with transaction.atomic():
        book = Book.objects.create(title="Emma", quantity=2, secret="plain")
        book.title = "Emma II"
        book.save()
        line = OrderLine.objects.create(tenant="acme", number=1)
        key = str(book.pk)
        book.delete()
    created, updated, other, deleted = events()
    assert (created["op"], created["after"]["double"], created["after"]["secret"]) == ("c", 4, "***")
    assert (updated["op"], updated["before"], updated["after"]["title"]) == ("u", None, "Emma II")
    assert (other["op"], other["audit"]["object_pk"]) == ("c", '["acme",1]')
    assert line.amount == 0
    assert (deleted["op"], deleted["before"], deleted["after"], deleted["audit"]["object_pk"]) == ("d", None, None, key)
    assert {event["audit"]["captured_by"] for event in (created, updated, other, deleted)} == {"receiver"}
    assert [event["audit"]["object_repr"] for event in (created, updated, deleted)] == ["Emma", "Emma II", "Emma II"]
    assert counted("samples.book", UncapturedReason.CAPTURED_LATE) == before + 3


@pytest.mark.usefixtures("without_compilers")
def test_i1_what_is_recorded_late_shares_the_fate_of_its_transaction(events: Events) -> None:
    with transaction.atomic():
        Genre.objects.create(name="lost")
        transaction.set_rollback(True)
    assert events() == []


@pytest.mark.usefixtures("without_compilers")
def test_i2_in_autocommit_mode_it_is_an_error(events: Events) -> None:
    with pytest.raises(UncapturedWrite, match=r"samples\.genre"):
        Genre.objects.create(name="novel")
    assert events() == []


@pytest.mark.usefixtures("without_compilers")
def test_i2_a_model_may_ask_for_a_warning_instead(events: Events) -> None:
    before = counted("samples.genre", UncapturedReason.BYPASSED)
    auditlog.register(Genre, bulk="warn")
    try:
        Genre.objects.create(name="novel")
    finally:
        auditlog.register(Genre)
    assert counted("samples.genre", UncapturedReason.BYPASSED) == before + 1
    assert events() == []
