"""What the mails say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from enum import StrEnum

from django.conf import settings
from django.core.mail import EmailMessage

from doctors.models import Department, Doctor, DoctorMail, MailKind


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


class HeadNotice(StrEnum):
    """What the head of a department is told."""

    ADDED = "added"  # doctors were assigned
    REMOVED = "removed"  # doctors were taken out


NOTICES = {
    HeadNotice.ADDED: Text("New doctors in {name}", "These doctors were assigned to {name}:\n\n{doctors}\n"),
    HeadNotice.REMOVED: Text("Doctors left {name}", "These doctors no longer belong to {name}:\n\n{doctors}\n"),
}


def message_of(mail: DoctorMail) -> EmailMessage:
    """Return the mail, with a Message-ID that is the same at each attempt."""
    text = TEXTS[MailKind(mail.kind)]
    body = text.body.format(name=mail.doctor.last_name)
    return _message(subject=text.subject, body=body, to=mail.doctor, number=str(mail.pk))


def notice_of(notice: HeadNotice, *, notice_id: str, department: Department, doctors: Iterable[Doctor]) -> EmailMessage:
    """Return the mail to the head of a department, with a Message-ID that is the same at each attempt."""
    text, names = NOTICES[notice], "\n".join(str(doctor) for doctor in doctors)
    # A subject is one line, whatever somebody called a department.
    subject = text.subject.format(name=" ".join(department.name.split()))
    body = text.body.format(name=department.name, doctors=names)
    return _message(subject=subject, body=body, to=department.head, number=notice_id)


def _message(*, subject: str, body: str, to: Doctor | None, number: str) -> EmailMessage:
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return EmailMessage(
        subject=subject,
        body=body,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[(to.email if to else None) or ""],
        headers={"Message-ID": f"<{number}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
