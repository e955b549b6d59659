"""What capture writes is what the consumer reads: the outbox's own bytes become rows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from auditlog import topics
from auditlog.access.redaction import redacted
from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.context import set_actor, set_reason
from auditlog.events import record as record_event
from auditlog.events import record_access
from auditlog.models import AuditLog
from auditlog.queries.compiler import Query, rows
from auditlog.queries.filters import Both, Field, Filter, Is, Not
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from doctors.models import Appointment, Department, Doctor, Patient, Specialty

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def project_outbox(projector: Projector) -> list[AuditLog]:
    """Store what waits in the outbox as if it had come from one partition, and return the rows in its order."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT value, key FROM auditlog_outboxevent ORDER BY id")
        waiting = cursor.fetchall()
    at = Partition("captured", 0)
    records = tuple(Record(at, n, key.encode(), value.encode()) for n, (value, key) in enumerate(waiting))
    stored = projector.store(Batch(records, {at: None}))
    assert (stored.events, stored.dead_letters) == (len(waiting), 0)
    return list(AuditLog.objects.using("default").order_by("offset"))


def doctor_of(**values: Any) -> Doctor:
    """Save a doctor."""
    return Doctor.objects.create(**{"first_name": "Ada", "last_name": "Byron", **values})


def test_a_life_of_a_doctor_is_told_by_field_names(projector: Projector) -> None:
    department = Department.objects.create(code="CARD", name="Cardiology")
    with set_actor("importer"), set_reason("onboarding"):
        doctor = doctor_of(consultation_fee=Decimal("120.50"), tax_id="secret", department=department)
    doctor.consultation_fee, doctor.department, doctor.tax_id = Decimal("121.00"), None, "another"
    doctor.save()
    pk = str(doctor.pk)
    doctor.delete()
    rows = [row for row in project_outbox(projector) if row.model == "doctors.doctor"]
    assert [(row.action, row.object_pk, row.category) for row in rows] == [
        ("create", pk, "write"),
        ("update", pk, "write"),
        ("delete", pk, "write"),
    ]
    created, updated, deleted = (row.changes or {} for row in rows)
    assert created["consultation_fee"] == [None, "120.50"]
    assert updated["consultation_fee"] == ["120.50", "121.00"]
    assert updated["department"] == [department.pk, None]
    assert updated["tax_id"] == ["***", "***"]
    assert "last_name" not in updated
    assert deleted["last_name"] == ["Byron", None]
    assert (rows[0].reason, rows[0].actor_repr) == ("onboarding", "importer")
    assert rows[0].sequence < rows[1].sequence < rows[2].sequence


def test_memberships_and_domain_events_are_rows(projector: Projector) -> None:
    doctor, specialty = doctor_of(), Specialty.objects.create(name="Cardiology")
    doctor.specialties.add(specialty)
    record_event(doctor, action="activated", data={"previous": False})
    rows = project_outbox(projector)
    # What the domain writes because of a membership is between the two.
    (added,) = (row for row in rows if row.action == "m2m.add")
    activated = rows[-1]
    assert (added.changes, added.before, added.after) == (None, None, None)
    links = added.m2m or {}
    assert (links["field"], links["added"]) == ("specialties", [str(specialty.pk)])
    assert (activated.action, activated.data) == ("activated", {"previous": False})


def test_events_are_found_by_whom_they_are_about_and_where_they_belong(projector: Projector) -> None:
    heart, lung = (Department.objects.create(code=code, name=code) for code in ("CARD", "PULM"))
    doctor = doctor_of(department=heart)
    one, other = (Patient.objects.create(last_name=name) for name in ("Milner", "Noor"))
    start = timezone.now()
    visit = Appointment.objects.create(doctor=doctor, patient=one, start=start, end=start + timedelta(hours=1))
    visit.patient = other
    visit.save()
    record_access(visit)
    doctor.department = lung
    doctor.save()
    doctor.specialties.add(Specialty.objects.create(name="Cardiology"))
    record_access(doctor)
    project_outbox(projector)

    def found(**conditions: Any) -> list[tuple[str, str]]:
        rows = AuditLog.objects.using("default").filter(**conditions).exclude(model="doctors.specialty")
        return list(rows.order_by("offset").values_list("model", "action"))

    visits = "doctors.appointment"
    assert found(subjects__contains=[f"doctors.patient:{one.pk}"]) == [
        ("doctors.patient", "create"),
        (visits, "create"),
        (visits, "update"),
    ]
    assert found(subjects__contains=[f"doctors.patient:{other.pk}"]) == [
        ("doctors.patient", "create"),
        (visits, "update"),
        (visits, "access"),
    ]
    moved = found(labels__contains=[f"department:{lung.pk}"])
    assert moved[:2] == [("doctors.department", "create"), ("doctors.doctor", "update")]
    assert moved[-1] == ("doctors.doctor", "access")
    assert ("doctors.doctor", "m2m.add") not in moved
    assert ("doctors.doctor", "m2m.add") in found(subjects__contains=[f"doctors.doctor:{doctor.pk}"])
    assert found(labels__contains=[f"department:{heart.pk}", f"department:{lung.pk}"]) == [("doctors.doctor", "update")]
    assert found(changed_fields__contains=["patient"]) == [(visits, "create"), (visits, "update")]
    assert found(changed_fields__contains=["specialties"]) == [("doctors.doctor", "m2m.add")]


def test_whom_a_restricted_caller_may_not_see_is_no_subject_for_them(projector: Projector) -> None:
    doctor, patient = doctor_of(), Patient.objects.create(last_name="Milner")
    start = timezone.now()
    visit = Appointment.objects.create(doctor=doctor, patient=patient, start=start, end=start + timedelta(hours=1))
    record_access(visit)
    project_outbox(projector)
    about = Is(Field.SUBJECT, (f"doctors.patient:{patient.pk}", "doctors.patient:0"))
    everything = Rights("user:1", frozenset({Scope.READ, Scope.READ_SENSITIVE}))
    restricted = Rights("user:2", frozenset({Scope.READ}))

    def found(rights: Rights, asked: Filter = about) -> list[tuple[str, str]]:
        return list(rows(Query(asked), rights).order_by("offset").values_list("model", "action"))

    own = ("doctors.patient", "create")
    visits = [("doctors.appointment", "create"), ("doctors.appointment", "access")]
    assert found(everything) == [own, *visits]
    assert found(restricted) == [own]
    # Nor by what is left when the others are taken away.
    assert found(restricted, Both((Is(Field.MODEL, ("doctors.appointment",)), Not(about)))) == visits
    for event in rows(Query(Is(Field.MODEL, ("doctors.appointment",))), restricted):
        shown = redacted(event, restricted)
        assert (shown.subjects, "subjects" in shown.redacted) == (["$redacted:health"], True)
        assert len(redacted(event, everything).subjects) == 2


def test_every_registered_model_has_its_topics() -> None:
    assert {f"{topics.prefix()}.doctors.doctor", f"{topics.prefix()}.doctors.doctor.events"} <= set(topics.all_topics())
