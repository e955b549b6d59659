"""Doctors come to departments and leave them: closed ones take nobody."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.signals import m2m_changed

from doctors.models import Department, Doctor
from doctors.models.department import refusal_of_inactive
from doctors.receivers.connection import Connection


def refuse_inactive(instance: models.Model, action: str, pk_set: set[int] | None, using: str, **_kwargs: Any) -> None:
    """
    m2m_changed: refuse an assignment to an inactive department, from whichever side it is made.

    Locks the departments: one that is being closed at this moment is waited for. Links that are there already stay.

    :raises ValidationError: before a link is written.
    """
    if action != "pre_add" or not pk_set:
        return
    keys = {instance.pk} if isinstance(instance, Department) else pk_set
    departments = Department.objects.using(using).filter(pk__in=keys).order_by("pk").select_for_update(no_key=True)
    if closed := [department for department in departments if not department.is_active]:
        raise ValidationError({"departments": refusal_of_inactive(closed)})


CONNECTIONS = (Connection(m2m_changed, refuse_inactive, sender=Doctor.departments.through),)
