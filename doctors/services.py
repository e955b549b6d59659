"""What happens to doctors in the words of the clinic."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from typing import Any

from django.db import transaction

from auditlog.context import set_actor
from auditlog.events import record
from doctors.models import Doctor


class DoctorAction(StrEnum):
    """Domain events of doctors."""

    ACTIVATED = "activated"  # may be booked from now on
    DEACTIVATED = "deactivated"  # may not be booked any more


def activate(doctor: Doctor, *, actor: Any = None) -> bool:
    """
    Let `doctor` be booked, and tell whether that changed anything.

    The change and its event commit together. `actor` defaults to who acts in the context. Safe to repeat.
    """
    return _set_active(doctor, is_active=True, action=DoctorAction.ACTIVATED, actor=actor)


def deactivate(doctor: Doctor, *, actor: Any = None) -> bool:
    """
    Let `doctor` not be booked any more, and tell whether that changed anything.

    The change and its event commit together. `actor` defaults to who acts in the context. Safe to repeat.
    """
    return _set_active(doctor, is_active=False, action=DoctorAction.DEACTIVATED, actor=actor)


def _set_active(doctor: Doctor, *, is_active: bool, action: DoctorAction, actor: Any) -> bool:
    with transaction.atomic(), set_actor(actor) if actor is not None else nullcontext():
        # The instance may be stale: the row decides, and stays locked until both are written.
        held = Doctor.objects.select_for_update().only("pk", "is_active").get(pk=doctor.pk)
        if held.is_active == is_active:
            doctor.is_active = is_active
            return False
        doctor.is_active = is_active
        doctor.save(update_fields=["is_active", "updated_at"])
        record(doctor, action=action, data={"previous": not is_active})
    return True
