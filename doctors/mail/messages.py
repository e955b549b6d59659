"""What the mails say."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage

from doctors.models import DoctorMail, MailKind


@dataclass(frozen=True, slots=True)
class Text:
    """A subject, and a body in which `{name}` stands for the last name."""

    subject: str
    body: str


TEXTS = {
    MailKind.WELCOME: Text("Welcome to our platform", "Hello Dr. {name},\n\nwelcome! Your profile has been created.\n"),
    MailKind.ACTIVATED: Text(
        "Your profile is active", "Hello Dr. {name},\n\nyour profile is active: patients can book you from now on.\n"
    ),
}


def message_of(mail: DoctorMail) -> EmailMessage:
    """Return the mail, with a Message-ID that is the same at each attempt."""
    text = TEXTS[MailKind(mail.kind)]
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return EmailMessage(
        subject=text.subject,
        body=text.body.format(name=mail.doctor.last_name),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[mail.doctor.email or ""],
        headers={"Message-ID": f"<{mail.pk}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
