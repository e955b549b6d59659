"""Activation and deactivation, of one doctor and of many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from auditlog.context import set_actor
from doctors.models import Appointment, Department, Doctor
from doctors.services import DoctorService
from doctors.signals import appointment_cancelled, doctor_activated, doctor_deactivated
from tests.conftest import Events, WaitUntil
from tests.integration.doctors.conftest import Heard, Listen
from tests.integration.doctors.people import HALF_AN_HOUR, NOON, at_once, booked, doctor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]


def told(events: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [
        (event["audit"]["model"], event["audit"]["action"], (event["audit"]["actor"] or {}).get("repr"))
        for event in events
    ]


def test_an_activation_is_a_row_an_event_and_a_signal_once(events: Events, heard: Heard) -> None:
    who, manager = doctor(is_active=False), get_user_model().objects.create_user("s.lindqvist")
    signals = heard(doctor_activated)
    events()

    assert who.activate(activated_by=manager) is True
    assert who.activate(activated_by=manager) is False

    assert told(events()) == [
        ("doctors.doctor", "update", "s.lindqvist"),
        ("doctors.doctor", "activated", "s.lindqvist"),
    ]
    assert signals == [(Doctor, {"doctor": who, "activated_by": manager})]


def test_without_an_actor_the_signal_says_who_acts_in_the_context(heard: Heard) -> None:
    signals = heard(doctor_activated)
    who = doctor(is_active=False)

    with set_actor("night shift"):
        who.activate()

    assert signals[0][1]["activated_by"].repr == "night shift"


def test_a_deactivation_cancels_what_is_pending_with_a_reason(events: Events, heard: Heard) -> None:
    who, other = doctor(), doctor()
    completed = booked(who, NOON - HALF_AN_HOUR)
    Appointment.objects.filter(pk=completed.pk).update(status="completed")
    pending = [booked(who, NOON + number * HALF_AN_HOUR) for number in range(3)]
    Appointment.objects.filter(pk=pending[1].pk).update(status="confirmed")
    elsewhere = booked(other)
    deactivated, cancelled = heard(doctor_deactivated), heard(appointment_cancelled)
    events()

    assert who.deactivate(deactivated_by="s.lindqvist") is True

    rows = dict(Appointment.objects.values_list("pk", "status"))
    assert rows == {
        completed.pk: "completed",
        elsewhere.pk: "scheduled",
        **{appointment.pk: "cancelled" for appointment in pending},
    }
    assert deactivated == [(Doctor, {"doctor": who, "deactivated_by": "s.lindqvist"})]
    assert [kwargs["appointment"].pk for _, kwargs in cancelled] == [appointment.pk for appointment in pending]
    assert {kwargs["reason"] for _, kwargs in cancelled} == {"Doctor deactivated"}
    assert {kwargs["cancelled_by"] for _, kwargs in cancelled} == {"s.lindqvist"}
    assert told(events()) == [
        ("doctors.doctor", "update", "s.lindqvist"),
        ("doctors.doctor", "deactivated", "s.lindqvist"),
        *[("doctors.appointment", action, "s.lindqvist") for _ in pending for action in ("update", "cancelled")],
    ]


def test_a_deactivation_leaves_alone_what_took_place_meanwhile(
    owner_connection: psycopg.Connection[Any], wait_until: WaitUntil
) -> None:
    who = doctor()
    appointment = booked(who)
    results: list[Any] = []
    deactivation = threading.Thread(target=lambda: results.extend(at_once(who.deactivate)))

    with owner_connection.transaction():
        completed = "UPDATE doctors_appointment SET status = 'completed' WHERE id = %s"
        owner_connection.execute(completed, [appointment.pk])
        deactivation.start()
        wait_until(lambda: owner_connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
    deactivation.join()

    assert results == [True]
    appointment.refresh_from_db()
    assert appointment.status == "completed"


def test_a_deactivation_is_whole_or_not_at_all(events: Events, listen: Listen) -> None:
    who = doctor()
    booked(who)
    events()

    with transaction.atomic():
        who.deactivate()
        transaction.set_rollback(True)

    assert events() == []
    assert Doctor.objects.get().is_active
    assert Appointment.objects.pending().count() == 1


def test_of_two_activations_at_once_one_is_recorded(events: Events) -> None:
    who = doctor(is_active=False)
    events()

    results = at_once(*[Doctor.objects.get(pk=who.pk).activate for _ in range(4)])

    assert sorted(results) == [False, False, False, True]
    assert [action for _, action, _ in told(events())] == ["update", "activated"]


def test_a_receiver_that_raises_harms_neither_the_others_nor_the_activation(
    events: Events, heard: Heard, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    def hurt(**_kwargs: Any) -> None:
        raise RuntimeError("the directory is closed")

    listen(doctor_activated, hurt)
    signals = heard(doctor_activated)
    who = doctor(is_active=False)
    events()

    assert who.activate() is True

    assert len(signals) == 1
    assert Doctor.objects.get().is_active
    assert [action for _, action, _ in told(events())] == ["update", "activated"]
    assert "the directory is closed" in caplog.text


def ruin_by_a_save(**_kwargs: Any) -> None:
    with suppress(DatabaseError):
        Department.objects.create(code="", name="")


def ruin_by_raw_sql(**_kwargs: Any) -> None:
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


@pytest.mark.parametrize("ruin", [ruin_by_a_save, ruin_by_raw_sql])
def test_a_receiver_that_ruins_the_transaction_is_not_passed_over_in_silence(
    ruin: Callable[..., None], events: Events, listen: Listen
) -> None:
    listen(doctor_activated, ruin)
    who = doctor(is_active=False)
    events()

    with pytest.raises(DatabaseError):
        who.activate()

    assert events() == []
    assert not Doctor.objects.get().is_active


def test_many_doctors_are_activated_by_one_update_with_an_audit_as_complete_as_of_each_alone(
    events: Events, heard: Heard
) -> None:
    inactive = [doctor(is_active=False) for _ in range(5)]
    active = doctor()
    signals = heard(doctor_activated)
    events()

    with CaptureQueriesContext(connection) as queries:
        count = DoctorService.bulk_activate([who.pk for who in [*inactive, active]], activated_by="s.lindqvist")

    assert count == 5
    assert [query["sql"].startswith("UPDATE") for query in queries].count(True) == 1
    taken = events()
    rows = [event for event in taken if event["op"] == "u"]
    assert {event["after"]["id"]: (event["before"]["is_active"], event["after"]["is_active"]) for event in rows} == {
        who.pk: (False, True) for who in inactive
    }
    activations = [event for event in taken if event["audit"]["action"] == "activated"]
    assert [event["audit"]["object_pk"] for event in activations] == [str(who.pk) for who in inactive]
    assert {event["audit"]["object_repr"] for event in activations} == {"Dr Ada Byron"}
    assert {str(event["audit"]["data"]) for event in activations} == {"{'previous': False}"}
    assert {event["audit"]["actor"]["repr"] for event in taken} == {"s.lindqvist"}
    assert len(taken) == 10
    assert signals == []
    assert DoctorService.bulk_activate([who.pk for who in inactive]) == 0
    assert events() == []


def test_two_bulk_activations_at_once_activate_each_doctor_once(events: Events) -> None:
    keys = [doctor(is_active=False).pk for _ in range(6)]
    events()

    results = at_once(lambda: DoctorService.bulk_activate(keys), lambda: DoctorService.bulk_activate(keys[::-1]))

    assert sorted(results) == [0, 6]
    assert len(events()) == 12
