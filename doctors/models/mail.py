"""Mails to doctors: which were asked for, and which were sent."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from doctors.models.doctor import Doctor


class MailKind(models.TextChoices):
    """Why a doctor gets a mail."""

    WELCOME = "welcome", "the doctor is new"
    ACTIVATED = "activated", "the doctor may be booked"


class DoctorMail(models.Model):
    """
    A mail that was asked for in the transaction of its reason.

    The key is part of the mail's Message-ID. `sent_at` is noted when the server has taken it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="mails")
    kind = models.CharField(max_length=16, choices=MailKind.choices)
    requested_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["doctor"], condition=Q(kind=MailKind.WELCOME), name="doctors_doctormail_one_welcome"
            ),
            models.CheckConstraint(condition=Q(kind__in=MailKind.values), name="doctors_doctormail_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to doctor {self.doctor_id}"
