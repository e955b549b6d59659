"""Sending a mail."""

from __future__ import annotations

import smtplib

from django.utils import timezone
from django_tasks import task

from doctors.background import GiveUp
from doctors.mail.messages import message_of
from doctors.models import DoctorMail

# Replies of this class are final: RFC 5321, section 4.2.1.
PERMANENT = 500


@task
def send_doctor_mail(mail_id: str) -> None:
    """
    Send a mail that was asked for, unless it was sent; to the address that the doctor has now.

    :raises GiveUp: if the server refuses it for good, or the doctor has no address any more.
    """
    mail = DoctorMail.objects.select_related("doctor").filter(pk=mail_id, sent_at=None).first()
    if mail is None:
        return
    if not mail.doctor.email:
        raise GiveUp("The doctor has no e-mail address any more.")
    try:
        message_of(mail).send()
    except smtplib.SMTPException as exc:
        if _is_final(exc):
            raise GiveUp(f"The mail server refuses the mail: {type(exc).__name__}") from exc
        raise
    DoctorMail.objects.filter(pk=mail.pk).update(sent_at=timezone.now())


def _is_final(error: smtplib.SMTPException) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= PERMANENT for code, _ in error.recipients.values())
    # A wrong password is the operator's to correct: the mail waits for it.
    about_the_mail = isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError)
    return about_the_mail and int(getattr(error, "smtp_code", 0)) >= PERMANENT
