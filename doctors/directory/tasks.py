"""Telling the directory."""

from __future__ import annotations

from typing import Any

from django_tasks import task

from doctors.background import GiveUp
from doctors.directory import client
from doctors.models import Doctor

# How often a doctor may change while the directory is being told, before the task is tried again later.
MOST_CHANGES = 5


@task
def sync_to_directory(doctor_ids: list[int]) -> None:
    """
    Make the directory show doctors as they are now, and not those who are gone.

    Two tasks about one doctor may run at once. Whichever wrote last has read the doctor again after that, and found
    what it wrote: so the directory ends with the latest.

    :raises DirectoryUnavailable: if it should be tried again.
    :raises GiveUp: if the directory refuses some of them for good; it was told of all others.
    """
    refused: list[int] = []
    for doctor_id in doctor_ids:
        try:
            _sync(doctor_id)
        except GiveUp as exc:
            refused.append(doctor_id)
            reason = exc
    if refused:
        raise GiveUp(f"Doctors {refused}: {reason}") from reason


def _sync(doctor_id: int) -> None:
    for _ in range(MOST_CHANGES):
        entry = _entry(doctor_id)
        if entry is None:
            client.remove(doctor_id)
        else:
            client.put(doctor_id, entry)
        if _entry(doctor_id) == entry:
            return
    raise client.DirectoryUnavailable("The doctor changes too often to be told.")


def _entry(doctor_id: int) -> dict[str, Any] | None:
    """Return what the directory shows of a doctor; None for one who is gone. Nothing private is part of it."""
    doctor = Doctor.objects.select_related("department").filter(pk=doctor_id).first()
    if doctor is None:
        return None
    return {
        "id": doctor.pk,
        "slug": doctor.slug,
        "npi": doctor.npi,
        "first_name": doctor.first_name,
        "last_name": doctor.last_name,
        "credential": doctor.credential,
        "is_active": doctor.is_active,
        "department": doctor.department.code if doctor.department else None,
        "specialties": doctor.search_tags,
    }
