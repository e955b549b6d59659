"""Which tables of this domain are audited, what of them is masked, whom events are about, and what fields hold."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from auditlog.registry import auditlog
from auditlog.vocabulary import FieldClass
from doctors import models

PUBLIC, INTERNAL, PERSONAL = FieldClass.PUBLIC, FieldClass.INTERNAL, FieldClass.PERSONAL
SENSITIVE, HEALTH = FieldClass.SENSITIVE, FieldClass.HEALTH

KEY = {"id": INTERNAL}
KEY_AND_TIMES = dict.fromkeys(("id", "created_at", "updated_at"), INTERNAL)
# What a clinic's website and the national register show anyway is public.
DOCTOR = KEY_AND_TIMES | {
    **dict.fromkeys(
        ("first_name", "middle_name", "last_name", "suffix", "credential", "slug", "npi", "bio", "photo"), PUBLIC
    ),
    **dict.fromkeys(("medical_school", "graduation_year", "department", "search_tags", "consultation_fee"), PUBLIC),
    **dict.fromkeys(("gender", "email", "phone", "license_number", "hire_date"), PERSONAL),
    "tax_id": SENSITIVE,
    "is_active": INTERNAL,
}
DEPARTMENT = KEY | {"code": PUBLIC, "name": PUBLIC, "head": PUBLIC, "is_active": INTERNAL}
PROFILE = KEY | dict.fromkeys(("doctor", "languages", "website", "statement", "accepts_new_patients"), PUBLIC)
LOCATION = KEY | dict.fromkeys(
    ("doctor", "adrs_id", "address_line_1", "address_line_2", "city", "state", "zip", "phone"), PUBLIC
)
PATIENT = KEY_AND_TIMES | {
    **dict.fromkeys(("first_name", "last_name", "date_of_birth", "email", "phone"), PERSONAL),
    "ssn": SENSITIVE,
}
# That somebody sees a doctor, and which one, tells of their health.
APPOINTMENT = KEY_AND_TIMES | dict.fromkeys(
    ("doctor", "patient", "start", "end", "status", "reason", "cancellation_reason", "notes"), HEALTH
)
USER = KEY | {
    **dict.fromkeys(("username", "first_name", "last_name", "email"), PERSONAL),
    **dict.fromkeys(("is_active", "is_staff", "is_superuser", "date_joined"), INTERNAL),
}


def register() -> None:
    """Register the models; called once when all of them are loaded."""
    auditlog.register(
        models.Doctor,
        mask_fields=["tax_id"],
        m2m_labels=True,
        classify_fields=DOCTOR,
        subject=True,
        label_fields={"department": "department"},
    )
    auditlog.register(models.Department, classify_fields=DEPARTMENT, label_fields={"department": "id"})
    auditlog.register(models.Specialty, classify_fields=KEY | {"name": PUBLIC, "description": PUBLIC})
    auditlog.register(models.DoctorProfile, classify_fields=PROFILE, subject_fields=["doctor"])
    auditlog.register(models.PracticeLocation, classify_fields=LOCATION, subject_fields=["doctor"])
    auditlog.register(models.Patient, mask_fields=["ssn"], classify_fields=PATIENT, subject=True)
    auditlog.register(models.Appointment, classify_fields=APPOINTMENT, subject_fields=["patient", "doctor"])
    auditlog.register(
        get_user_model(),
        # A login is no change of the account.
        exclude_fields=["last_login"],
        m2m_fields={"groups", "user_permissions"},
        classify_fields=USER,
    )
