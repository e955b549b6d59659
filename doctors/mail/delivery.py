"""Handing a mail over to the server."""

from __future__ import annotations

import smtplib

from django.core.mail import EmailMessage

from doctors.background import GiveUp

# Replies of this class are final: RFC 5321, section 4.2.1.
PERMANENT = 500


def deliver(message: EmailMessage) -> None:
    """
    Hand a mail over.

    :raises GiveUp: if the server refuses it for good.
    """
    try:
        message.send()
    except smtplib.SMTPException as exc:
        if _is_final(exc):
            raise GiveUp(f"The mail server refuses the mail: {type(exc).__name__}") from exc
        raise


def _is_final(error: smtplib.SMTPException) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= PERMANENT for code, _ in error.recipients.values())
    # A wrong password is the operator's to correct: the mail waits for it.
    about_the_mail = isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError)
    return about_the_mail and int(getattr(error, "smtp_code", 0)) >= PERMANENT
