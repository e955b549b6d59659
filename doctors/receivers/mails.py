"""Doctors are told by mail of what happens to them."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save

from doctors.mail.requests import request_mail
from doctors.models import Doctor, MailKind
from doctors.receivers.connection import Connection
from doctors.signals import doctor_activated


def welcome(instance: Doctor, created: bool, raw: bool, using: str, **_kwargs: Any) -> None:
    """post_save: welcome a new doctor; fixtures and imports, which write in bulk, welcome nobody."""
    if created and not raw:
        request_mail(instance, MailKind.WELCOME, using=using)


def tell_of_activation(doctor: Doctor, **_kwargs: Any) -> None:
    """doctor_activated: tell the doctor."""
    request_mail(doctor, MailKind.ACTIVATED, using=doctor._state.db or "default")


CONNECTIONS = (
    Connection(post_save, welcome, sender=Doctor),
    Connection(doctor_activated, tell_of_activation),
)
