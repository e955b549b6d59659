"""Asking for a mail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from doctors.mail.messages import HeadNotice
from doctors.mail.tasks import notify_department_head, send_doctor_mail, tell_activated_doctors
from doctors.models import Doctor, DoctorMail, MailKind


def request_mail(doctor: Doctor, kind: MailKind, *, using: str) -> None:
    """
    Have a mail sent once the current transaction has committed; a second welcome to a doctor is none.

    Does nothing for a doctor without an address, and where no mails are sent.
    """
    if not (settings.MAILS_ENABLED and doctor.email):
        return
    with transaction.atomic(using=using, savepoint=False):
        mail = DoctorMail(doctor=doctor, kind=kind)
        # The constraint decides, not a look beforehand. The task of a mail that was not wanted finds nothing to send.
        DoctorMail.objects.using(using).bulk_create([mail], ignore_conflicts=True)
        send_doctor_mail.enqueue(str(mail.pk))


def request_activation_mails(doctor_ids: Iterable[int]) -> None:
    """Have the doctors who were activated together told of it once the current transaction has committed: one task."""
    if settings.MAILS_ENABLED:
        tell_activated_doctors.enqueue(str(uuid4()), sorted(doctor_ids))


def request_head_notices(doctors: Mapping[int, Iterable[int]], notice: HeadNotice) -> None:
    """Have the head of each department told of its doctors, by key, once the current transaction has committed."""
    if settings.MAILS_ENABLED:
        for department_id, doctor_ids in sorted(doctors.items()):
            notify_department_head.enqueue(str(uuid4()), department_id, sorted(doctor_ids), str(notice))
