"""A day in the clinic: several people change doctors, so that there is something to look up in the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser, Permission
from django.db import transaction
from django.db.models import Q

from auditlog.context import set_actor, set_reason
from doctors.models import Appointment, AppointmentStatus, Doctor, DoctorProfile, Patient, Specialty

PASSWORD_BYTES = 12
AUDITOR, DOCTOR_ADMIN = "auditor", "doctor-admin"
CLERK, MANAGER = "m.okonkwo", "s.lindqvist"
API_KEY_NAME = "demo"
STORY_DOCTORS = 8
VISIT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How somebody gets in."""

    username: str
    password: str
    api_key: str | None
    permissions: tuple[str, ...]

    def members(self) -> dict[str, Any]:
        """Return the credentials as `demo --json` prints them."""
        return {
            "username": self.username,
            "password": self.password,
            "api_key": self.api_key,
            "permissions": list(self.permissions),
        }


def create_users(issue_key: Callable[..., str]) -> list[Credentials]:
    """
    Create the demo's users, or give those that exist new passwords and a new API key.

    `issue_key(user=…, name=…)` returns the plain text of a new key.
    """
    auditor = _user(AUDITOR, Q(content_type__app_label="auditlog", codename="view_auditlog"), is_staff=True)
    admin = _user(DOCTOR_ADMIN, Q(content_type__app_label="doctors"), is_staff=True)
    for username in (CLERK, MANAGER):
        get_user_model().objects.get_or_create(username=username, defaults={"is_active": True})
    key = issue_key(user=auditor[0], name=API_KEY_NAME)
    return [_credentials(*auditor, key), _credentials(*admin, None)]


def live(*, now: datetime) -> None:
    """
    Let several people edit, assign, activate and delete; needs an imported file.

    Safe to repeat: every run finds other doctors or makes other changes to the same ones.
    """
    doctors = list(Doctor.objects.filter(is_active=True).order_by("pk")[:STORY_DOCTORS])
    if len(doctors) < STORY_DOCTORS:
        raise ValueError("The story needs more doctors than there are: import a file first.")
    users = get_user_model().objects.in_bulk([CLERK, MANAGER, DOCTOR_ADMIN], field_name="username")
    with set_actor(users[CLERK]):
        _keep_records(doctors[:3], now)
        _confirm(_book(doctors[0], now))
        _book(doctors[0], now).cancel(reason="Patient is ill")
        # Waits for a doctor who will be deactivated.
        _book(doctors[4], now)
    with set_actor(users[MANAGER]):
        _change_specialties(doctors[3])
        with set_reason("Licence renewal is overdue"):
            doctors[4].deactivate()
        with set_reason("Licence was renewed"):
            doctors[4].activate()
    with set_actor(users[DOCTOR_ADMIN]), set_reason("Left the network"), transaction.atomic():
        doctors[-1].delete()


def _keep_records(doctors: list[Doctor], now: datetime) -> None:
    for position, doctor in enumerate(doctors):
        doctor.email = f"{doctor.slug}@clinic.example"
        doctor.phone = f"20255501{secrets.randbelow(100):02}"
        doctor.consultation_fee = (doctor.consultation_fee or Decimal("120.50")) + Decimal("5.25")
        doctor.hire_date = doctor.hire_date or (now - timedelta(days=400 * (position + 1))).date()
        doctor.tax_id = f"98-{secrets.randbelow(10**7):07}"
        doctor.save()
    profile, created = DoctorProfile.objects.get_or_create(doctor=doctors[0], defaults={"languages": ["en", "es"]})
    if not created:
        profile.accepts_new_patients = not profile.accepts_new_patients
        profile.save(update_fields=["accepts_new_patients"])


def _book(doctor: Doctor, now: datetime) -> Appointment:
    patient, _ = Patient.objects.get_or_create(
        first_name="Rosa", last_name="Example", defaults={"ssn": f"900-00-{secrets.randbelow(10_000):04}"}
    )
    start = now.replace(minute=0, second=0, microsecond=0) + timedelta(days=7)
    while doctor.appointments.pending().overlapping(start=start, end=start + VISIT).exists():
        start += VISIT
    return Appointment.book(doctor=doctor, patient=patient, start=start, end=start + VISIT, reason="Annual check")


def _confirm(appointment: Appointment) -> None:
    appointment.status = AppointmentStatus.CONFIRMED
    appointment.save(update_fields=["status", "updated_at"])


def _change_specialties(doctor: Doctor) -> None:
    held = set(doctor.specialties.values_list("pk", flat=True))
    others = list(Specialty.objects.exclude(pk__in=held).order_by("name")[:2])
    doctor.specialties.add(*others)
    doctor.specialties.remove(others[0])


def _user(username: str, permissions: Q, *, is_staff: bool) -> tuple[AbstractUser, str, tuple[str, ...]]:
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    granted = list(Permission.objects.filter(permissions).select_related("content_type").order_by("pk"))
    with transaction.atomic():
        user, _ = get_user_model().objects.get_or_create(username=username, defaults={"is_staff": is_staff})
        user.set_password(password)
        user.save(update_fields=["password"])
        user.user_permissions.set(granted)
    names = tuple(f"{permission.content_type.app_label}.{permission.codename}" for permission in granted)
    return user, password, names


def _credentials(user: AbstractUser, password: str, permissions: tuple[str, ...], key: str | None) -> Credentials:
    return Credentials(user.get_username(), password, key, permissions)
