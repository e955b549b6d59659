"""Every table of the domain in Django's admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from doctors import models
from tests.conftest import Events
from tests.integration.doctors.people import at_once, booked, department, doctor, patient

pytestmark = pytest.mark.django_db(transaction=True)

MODELS = (
    models.Appointment,
    models.Department,
    models.Doctor,
    models.DoctorProfile,
    models.Patient,
    models.PracticeLocation,
    models.Specialty,
)
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser(username="root"))
    return client


@pytest.fixture
def rows() -> dict[type[Model], Model]:
    doctor = models.Doctor.objects.create(first_name="Ada", last_name="Byron")
    patient = models.Patient.objects.create(first_name="Rosa", last_name="Example")
    return {
        models.Doctor: doctor,
        models.Patient: patient,
        models.Department: models.Department.objects.create(code="CARD", name="Cardiology", head=doctor),
        models.Specialty: models.Specialty.objects.create(name="Surgery"),
        models.DoctorProfile: doctor.profile,
        models.PracticeLocation: models.PracticeLocation.objects.create(
            doctor=doctor, adrs_id="X", address_line_1="1", city="Easthaven", state="CT", zip="06512"
        ),
        models.Appointment: models.Appointment.objects.create(
            doctor=doctor, patient=patient, start=NOON, end=NOON + timedelta(minutes=30)
        ),
    }


@pytest.mark.parametrize("model", MODELS)
def test_lists_searches_and_forms_open(staff: Client, rows: dict[type[Model], Model], model: type[Model]) -> None:
    name = f"admin:doctors_{model._meta.model_name}"
    query = {"q": "a"} if admin.site.get_model_admin(model).search_fields else {}

    assert staff.get(reverse(f"{name}_changelist"), query).status_code == 200
    assert staff.get(reverse(f"{name}_add")).status_code == 200
    assert staff.get(reverse(f"{name}_change", args=[rows[model].pk])).status_code == 200


def test_a_change_in_the_admin_is_an_event_of_the_user(staff: Client, events: Events) -> None:
    specialty = models.Specialty.objects.create(name="Surgery")
    events()

    address = reverse("admin:doctors_specialty_change", args=[specialty.pk])
    assert staff.post(address, {"name": "Urology", "description": ""}).status_code == 302

    (event,) = [event for event in events() if event["audit"]["model"] == "doctors.specialty"]
    assert (event["before"]["name"], event["after"]["name"]) == ("Surgery", "Urology")
    assert event["audit"]["actor"]["repr"] == "root"


def visit(who: models.Doctor, start: str = "12:00", end: str = "12:30") -> dict[str, Any]:
    """Return what the form of an appointment holds."""
    times = {"start_0": "2026-12-01", "start_1": start, "end_0": "2026-12-01", "end_1": end}
    return {"doctor": who.pk, "patient": patient().pk, "status": "scheduled", "reason": "", "notes": "", **times}


def actions(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (event["audit"]["model"], event["audit"]["action"])
        for event in events
        if event["audit"]["model"].startswith("doctors.")
    ]


def test_a_closed_department_is_an_error_of_the_form(staff: Client) -> None:
    closed, where = department("Radiology", is_active=False), department("Cardiology")
    who = doctor()
    closed.is_active = True
    closed.save()
    who.departments.add(closed)
    closed.is_active = False
    closed.save()
    body = {"first_name": "Ada", "last_name": "Byron", "is_active": "on", "departments": [closed.pk, where.pk]}

    refused = staff.post(reverse("admin:doctors_doctor_add"), body)
    kept = staff.post(reverse("admin:doctors_doctor_change", args=[who.pk]), body)

    assert "Cannot assign inactive department: Radiology." in refused.content.decode()
    assert kept.status_code == 302
    assert set(models.Doctor.objects.get().departments.all()) == {closed, where}


def test_what_cannot_be_booked_is_an_error_of_the_form_or_a_message(staff: Client) -> None:
    who, add = doctor(), reverse("admin:doctors_appointment_add")
    booked(who)

    taken = staff.post(add, visit(who))
    backwards = staff.post(add, visit(who, "12:30", "12:00"))
    inactive = staff.post(add, visit(doctor(is_active=False)), follow=True)

    assert "The doctor has another appointment at that time." in taken.content.decode()
    assert "An appointment ends after it starts." in backwards.content.decode()
    assert "The doctor is not active and cannot be booked." in inactive.content.decode()
    assert models.Appointment.objects.count() == 1


def test_booking_cancelling_and_deactivating_in_the_admin_are_transitions(staff: Client, events: Events) -> None:
    who = doctor()
    body = visit(who)
    events()

    assert staff.post(reverse("admin:doctors_appointment_add"), body).status_code == 302
    appointment = models.Appointment.objects.get()
    change = reverse("admin:doctors_appointment_change", args=[appointment.pk])
    assert staff.post(change, body | {"status": "cancelled"}).status_code == 302
    address = reverse("admin:doctors_doctor_change", args=[who.pk])
    assert staff.post(address, {"first_name": "Ada", "last_name": "Byron"}).status_code == 302

    taken = events()
    assert actions(taken) == [
        ("doctors.appointment", "create"),
        ("doctors.appointment", "booked"),
        ("doctors.appointment", "update"),
        ("doctors.appointment", "update"),
        ("doctors.appointment", "cancelled"),
        ("doctors.doctor", "update"),
        ("doctors.doctor", "update"),
        ("doctors.doctor", "deactivated"),
    ]
    assert {event["audit"]["actor"]["repr"] for event in taken} == {"root"}


def test_selected_doctors_are_activated_together(staff: Client, events: Events) -> None:
    selected = [doctor(is_active=False).pk for _ in range(3)]
    doctor(is_active=False)
    events()

    body = {"action": "activate_selected", "_selected_action": selected}
    assert staff.post(reverse("admin:doctors_doctor_changelist"), body).status_code == 302

    assert set(models.Doctor.objects.filter(is_active=True).values_list("pk", flat=True)) == set(selected)
    assert actions(events()).count(("doctors.doctor", "activated")) == 3


def test_of_two_forms_for_one_address_at_once_one_shows_the_error(staff: Client) -> None:
    second = Client()
    second.force_login(get_user_model().objects.get(username="root"))
    body = {"first_name": "Ada", "last_name": "Byron", "email": "ada@clinic.example"}
    address = reverse("admin:doctors_doctor_add")

    responses = at_once(*[partial(client.post, address, body) for client in (staff, second)])

    made, refused = sorted(responses, key=lambda response: -int(response.status_code))
    assert (made.status_code, refused.status_code) == (302, 200)
    assert "already exists" in refused.content.decode()
    assert models.Doctor.objects.count() == 1
