"""What the database itself refuses, and what a first write makes."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from auditlog.registry import auditlog
from doctors.models import Appointment, Department, Doctor, DoctorProfile, Patient, PracticeLocation, Specialty
from tests.conftest import Events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def doctor(**fields: Any) -> Doctor:
    return Doctor.objects.create(**({"first_name": "Ada", "last_name": "Byron"} | fields))


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"npi": "123"}, "doctors_doctor_npi_ten_digits"),
        ({"npi": ""}, "doctors_doctor_npi_ten_digits"),
        ({"last_name": ""}, "doctors_doctor_last_name_not_empty"),
        ({"consultation_fee": "-0.01"}, "doctors_doctor_fee_not_negative"),
        ({"npi": "1234567893", "last_name": "Other"}, "doctors_doctor_npi"),
        ({"email": " ADA@clinic.example"}, "doctors_doctor_email"),
    ],
)
def test_the_database_refuses_an_impossible_doctor(fields: dict[str, Any], constraint: str) -> None:
    doctor(npi="1234567893", email="ada@clinic.example")

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        doctor(**fields)


def test_the_database_refuses_impossible_rows_of_the_other_tables() -> None:
    who = doctor()
    patient = Patient.objects.create(first_name="Rosa", last_name="Example")
    location = {"doctor": who, "adrs_id": "X", "address_line_1": "1", "city": "C", "state": "CT", "zip": "06512"}
    PracticeLocation.objects.create(**location)
    impossible: list[tuple[Any, dict[str, Any]]] = [
        (PracticeLocation, location),
        (PracticeLocation, location | {"adrs_id": ""}),
        (Department, {"code": "", "name": "A"}),
        (Specialty, {"name": ""}),
        (Appointment, {"doctor": who, "patient": patient, "start": NOON, "end": NOON}),
        (Appointment, {"doctor": who, "patient": patient, "start": NOON, "end": NOON + timedelta(1), "status": "x"}),
    ]
    for model, fields in impossible:
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**fields)


def test_a_slug_is_made_in_the_first_write_and_never_again(events: Events) -> None:
    first, second = doctor(), doctor()
    made = [event["after"]["slug"] for event in events() if event["audit"]["model"] == "doctors.doctor"]
    bulk = Doctor.objects.bulk_create([Doctor(first_name="Bram", last_name="Ó Néill", npi="1234567893")])[0]
    slug = first.slug
    first.last_name = "Lovelace"
    first.save()

    assert made == [f"ada-byron-{first.pk}", f"ada-byron-{second.pk}"]
    assert bulk.slug == f"bram-o-neill-{bulk.pk}"
    assert Doctor.objects.get(pk=first.pk).slug == slug


def test_a_deleted_doctor_takes_along_what_belongs_to_nobody_else_and_each_leaves_an_event(events: Events) -> None:
    who = doctor()
    patient = Patient.objects.create(first_name="Rosa", last_name="Example")
    department = Department.objects.create(code="CARD", name="Cardiology", head=who)
    Appointment.objects.create(doctor=who, patient=patient, start=NOON, end=NOON + timedelta(minutes=30))
    events()

    who.delete()

    left = sorted((event["audit"]["model"], event["audit"]["action"]) for event in events())
    assert left == [
        ("doctors.appointment", "delete"),
        ("doctors.department", "update"),
        ("doctors.doctor", "delete"),
        ("doctors.doctorprofile", "delete"),
    ]
    department.refresh_from_db()
    assert department.head is None


def test_a_tax_id_and_a_social_security_number_reach_no_event(events: Events) -> None:
    who = doctor(tax_id="98-7654321")
    patient = Patient.objects.create(first_name="Rosa", last_name="Example", ssn="900-00-1234")
    who.tax_id, patient.ssn = "98-1111111", "900-00-9999"
    who.save()
    patient.save()

    taken = events()

    assert [event["audit"]["masked_changed"] for event in taken if event["op"] == "u"] == [["tax_id"], ["ssn"]]
    assert not any(secret in str(taken) for secret in ("98-7654321", "98-1111111", "900-00-1234", "900-00-9999"))


def test_an_activation_by_a_stale_instance_follows_the_row(events: Events) -> None:
    stale = doctor()
    Doctor.objects.filter(pk=stale.pk).update(is_active=False, bio="new")
    events()

    assert stale.activate(activated_by="night shift") is True
    assert stale.activate() is False

    update, activated = events()
    assert update["after"]["bio"] == "new"
    assert (activated["audit"]["action"], activated["audit"]["data"]) == ("activated", {"previous": False})
    assert update["audit"]["actor"] == activated["audit"]["actor"]
    assert activated["audit"]["actor"]["repr"] == "night shift"


def test_a_failed_activation_leaves_neither_row_nor_event(events: Events) -> None:
    who = doctor(is_active=False)
    events()

    with transaction.atomic():
        who.activate()
        transaction.set_rollback(True)

    assert events() == []
    assert not Doctor.objects.get(pk=who.pk).is_active


def test_the_whole_domain_is_audited() -> None:
    audited = {model._meta.label_lower for model in auditlog.get_models()}

    domain = (Appointment, Department, Doctor, DoctorProfile, Patient, PracticeLocation, Specialty)
    assert {model._meta.label_lower for model in domain} | {"auth.user"} <= audited


def test_the_migration_normalizes_addresses_that_were_there_before_and_leaves_events(events: Events) -> None:
    migration = importlib.import_module("doctors.migrations.0004_normal_emails")
    old, new = doctor(), doctor(email="bram@clinic.example")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE doctors_doctor SET email = 'Ada@Clinic.example' WHERE id = %s", [old.pk])
    events()

    for _ in range(2):
        migration.normalize(apps, SimpleNamespace(connection=connection))

    assert dict(Doctor.objects.values_list("pk", "email")) == {
        old.pk: "ada@clinic.example",
        new.pk: "bram@clinic.example",
    }
    assert [(event["before"]["email"], event["after"]["email"]) for event in events()] == [
        ("Ada@Clinic.example", "ada@clinic.example")
    ]
