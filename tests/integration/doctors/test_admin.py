"""Every table of the domain in Django's admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from doctors import models
from tests.conftest import Events

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
