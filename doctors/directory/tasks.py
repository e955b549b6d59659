"""Telling the directory."""

from __future__ import annotations

from django_tasks import task

from doctors.background import GiveUp
from doctors.cards import Card, card
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


def _entry(doctor_id: int) -> Card | None:
    """Return what the directory shows of a doctor, as the database has it now; None for one who is gone."""
    doctor = Doctor.objects.select_related("department").filter(pk=doctor_id).first()
    return None if doctor is None else card(doctor)
