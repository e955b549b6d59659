"""Licence numbers of doctors; a clinician of a national file may have none."""

from __future__ import annotations

from django.core.exceptions import ValidationError

LICENCE_PREFIX = "MD"


def validate_licence(value: str) -> None:
    """
    Refuse what is no licence number.

    :raises ValidationError: with the code `invalid_licence`.
    """
    if not value.startswith(LICENCE_PREFIX):
        raise ValidationError(f"License number must start with '{LICENCE_PREFIX}'.", code="invalid_licence")
