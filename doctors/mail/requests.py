"""Asking for a mail."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from doctors.mail.tasks import send_doctor_mail
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
