"""Booking and cancelling: events and signals of one transaction, and no doctor twice at a time."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from doctors.models import Appointment, AppointmentStatus, Doctor
from doctors.signals import appointment_booked, appointment_cancelled
from tests.conftest import Events
from tests.integration.doctors.conftest import Heard
from tests.integration.doctors.people import HALF_AN_HOUR, NOON, at_once, booked, doctor, patient

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]


def codes(refused: pytest.ExceptionInfo[ValidationError]) -> dict[str, list[str | None]]:
    return {name: [error.code for error in errors] for name, errors in refused.value.error_dict.items()}


def domain_events(events: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any], str | None]]:
    return [
        (audit["model"], audit["action"], audit["data"], (audit["actor"] or {}).get("repr"))
        for audit in (event["audit"] for event in events)
        if audit["data"] is not None
    ]


def test_a_booking_is_a_row_an_event_and_a_signal(events: Events, heard: Heard) -> None:
    who, whom, clerk = doctor(), patient(), get_user_model().objects.create_user("m.okonkwo")
    told = heard(appointment_booked)
    events()

    appointment = Appointment.book(
        doctor=who, patient=whom, start=NOON, end=NOON + HALF_AN_HOUR, reason="Annual check", booked_by=clerk
    )

    assert Appointment.objects.get().reason == "Annual check"
    row, booking = events()
    assert (row["op"], row["audit"]["actor"]["repr"]) == ("c", "m.okonkwo")
    data = {
        "doctor": who.pk,
        "patient": whom.pk,
        "start": "2026-12-01T12:00:00+00:00",
        "end": "2026-12-01T12:30:00+00:00",
    }
    assert domain_events([booking]) == [("doctors.appointment", "booked", data, "m.okonkwo")]
    assert told == [(Appointment, {"appointment": appointment, "patient": whom, "doctor": who})]


def test_a_cancellation_says_who_and_why_once(events: Events, heard: Heard) -> None:
    appointment = booked(doctor())
    told = heard(appointment_cancelled)
    events()

    assert appointment.cancel(cancelled_by="reception", reason="Patient is ill") is True
    assert appointment.cancel(reason="again") is False

    row, cancelled = events()
    assert (row["before"]["status"], row["after"]["status"]) == ("scheduled", "cancelled")
    data = {"previous": "scheduled", "reason": "Patient is ill"}
    assert domain_events([cancelled]) == [("doctors.appointment", "cancelled", data, "reception")]
    kwargs = {"appointment": appointment, "cancelled_by": "reception", "reason": "Patient is ill"}
    assert told == [(Appointment, kwargs)]
    assert Appointment.objects.get().cancellation_reason == "Patient is ill"


def test_what_is_over_cannot_be_cancelled(events: Events) -> None:
    appointment = booked(doctor())
    # The instance does not know of it: the row decides.
    Appointment.objects.update(status=AppointmentStatus.COMPLETED)
    events()

    with pytest.raises(ValidationError, match="over: completed"):
        appointment.cancel()

    assert events() == []


@pytest.mark.parametrize(("minutes", "is_free"), [(-30, True), (-29, False), (0, False), (29, False), (30, True)])
def test_a_doctor_has_one_appointment_at_a_time(minutes: int, is_free: bool, events: Events) -> None:
    who = doctor()
    booked(who)
    events()
    start = NOON + HALF_AN_HOUR / 30 * minutes
    whom = patient()

    if is_free:
        Appointment.book(doctor=who, patient=whom, start=start, end=start + HALF_AN_HOUR)
        return
    with pytest.raises(ValidationError) as refused:
        Appointment.book(doctor=who, patient=whom, start=start, end=start + HALF_AN_HOUR)
    assert codes(refused) == {"start": ["double_booking"]}
    assert [event["audit"]["model"] for event in events()] == ["doctors.patient"]
    # A write that does not ask before.
    with pytest.raises(IntegrityError, match="doctors_appointment_no_double_booking"), transaction.atomic():
        Appointment.objects.create(doctor=who, patient=whom, start=start, end=start + HALF_AN_HOUR)


def test_other_doctors_and_time_that_was_given_back_are_free() -> None:
    who = doctor()
    first = booked(who)
    booked(doctor())
    first.cancel()
    second = booked(who)

    # What was cancelled cannot come back over it.
    first.status = AppointmentStatus.SCHEDULED
    with pytest.raises(IntegrityError, match="doctors_appointment_no_double_booking"), transaction.atomic():
        first.save()
    assert list(Appointment.objects.pending().filter(doctor=who)) == [second]


def test_of_many_bookings_of_one_hour_at_once_one_is_made(events: Events) -> None:
    who, whom = doctor(), patient()
    events()
    results = at_once(
        *[lambda: Appointment.book(doctor=who, patient=whom, start=NOON, end=NOON + HALF_AN_HOUR) for _ in range(6)]
    )

    assert sorted(type(result).__name__ for result in results) == ["Appointment"] + ["ValidationError"] * 5
    assert [event["audit"]["action"] for event in events()] == ["create", "booked"]


def test_of_many_plain_inserts_of_one_hour_at_once_one_is_made() -> None:
    who, whom = doctor(), patient()
    results = at_once(
        *[
            lambda: Appointment.objects.create(doctor=who, patient=whom, start=NOON, end=NOON + HALF_AN_HOUR)
            for _ in range(6)
        ]
    )

    assert [type(result) for result in results].count(Appointment) == 1
    assert Appointment.objects.count() == 1


def test_nobody_is_booked_for_a_time_that_ends_before_it_starts_or_who_is_not_active(events: Events) -> None:
    who, whom, inactive = doctor(), patient(), doctor(is_active=False)
    events()

    with pytest.raises(ValidationError) as backwards:
        Appointment.book(doctor=who, patient=whom, start=NOON, end=NOON)
    with pytest.raises(ValidationError) as closed:
        Appointment.book(doctor=inactive, patient=whom, start=NOON, end=NOON + HALF_AN_HOUR)

    assert codes(backwards) == {"end": ["ends_before_start"]}
    assert codes(closed) == {"doctor": ["inactive_doctor"]}
    assert events() == []


@pytest.mark.parametrize("_round", range(5))
def test_no_booking_slips_past_a_deactivation(_round: int) -> None:
    who, whom = doctor(), patient()

    results = at_once(
        lambda: Appointment.book(doctor=who, patient=whom, start=NOON, end=NOON + HALF_AN_HOUR),
        Doctor.objects.get(pk=who.pk).deactivate,
    )

    assert results[1] is True
    assert not Appointment.objects.pending().exists()


def test_a_booking_that_is_rolled_back_leaves_nothing(events: Events) -> None:
    who = doctor()
    whom = patient()
    events()

    with transaction.atomic():
        Appointment.book(doctor=who, patient=whom, start=NOON, end=NOON + HALF_AN_HOUR)
        transaction.set_rollback(True)

    assert events() == []
    assert not Appointment.objects.exists()
