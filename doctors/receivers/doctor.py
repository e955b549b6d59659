"""A doctor is about to be written: what every row of the table keeps to."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models.signals import pre_save

from doctors.licence import validate_licence
from doctors.models import Doctor
from doctors.receivers.connection import Connection


def check_licence(instance: Doctor, **_kwargs: Any) -> None:
    """
    pre_save: refuse a licence number that is none.

    :raises ValidationError: that names the field.
    """
    if instance.license_number:
        try:
            validate_licence(instance.license_number)
        except ValidationError as exc:
            raise ValidationError({"license_number": exc}) from exc


def normalize_email(instance: Doctor, **_kwargs: Any) -> None:
    """pre_save: keep the address in lower case, and none where there is only blank space."""
    if instance.email is not None:
        instance.email = instance.email.strip().lower() or None


CONNECTIONS = (
    Connection(pre_save, check_licence, sender=Doctor),
    Connection(pre_save, normalize_email, sender=Doctor),
)
