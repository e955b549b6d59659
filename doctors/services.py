"""What is done to many doctors at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import router
from django.utils import timezone

from auditlog.events import record
from doctors.mail.requests import request_activation_mails
from doctors.models import Doctor, DoctorAction
from doctors.signals import announce, doctors_written
from doctors.transition import transition


class DoctorService:
    """Set-based transitions: they send no signal for each doctor, and leave the same events as single ones."""

    @staticmethod
    def bulk_activate(doctor_ids: Iterable[int], *, activated_by: Any = None) -> int:
        """
        Let these doctors be booked, and return how many could not be booked before.

        One UPDATE, an event for each changed row and one for each activation, and one notification, in one transaction.
        `activated_by` defaults to who acts in the context. Safe to repeat.
        """
        using = router.db_for_write(Doctor)
        with transition(actor=activated_by, using=using):
            inactive = Doctor.objects.using(using).filter(pk__in=set(doctor_ids), is_active=False)
            doctors = list(inactive.select_for_update(no_key=True).order_by("pk"))
            if not doctors:
                return 0
            keys = [doctor.pk for doctor in doctors]
            Doctor.objects.using(using).filter(pk__in=keys).update(is_active=True, updated_at=timezone.now())
            for doctor in doctors:
                record(doctor, action=DoctorAction.ACTIVATED, data={"previous": False})
            announce(doctors_written, sender=Doctor, using=using, doctor_ids=frozenset(keys))
            request_activation_mails(keys)
        return len(keys)
