"""Doctors come to departments and leave them: closed ones take nobody, and heads are told."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.signals import m2m_changed, pre_save

from doctors.mail.messages import HeadNotice
from doctors.mail.requests import request_head_notices
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
    closed = _closed({instance.pk} if isinstance(instance, Department) else pk_set, using)
    if closed:
        raise ValidationError({"departments": refusal_of_inactive(closed)})


def refuse_inactive_main(
    instance: Doctor, raw: bool, using: str, update_fields: frozenset[str] | None, **_kwargs: Any
) -> None:
    """
    pre_save: refuse to move a doctor into an inactive department.

    :raises ValidationError: before the row is written.
    """
    if raw or not instance.moves_department(update_fields):
        return
    if closed := _closed({instance.department_id}, using):
        raise ValidationError({"department": refusal_of_inactive(closed)})


def _closed(keys: set[Any], using: str) -> list[Department]:
    departments = Department.objects.using(using).filter(pk__in=keys).order_by("pk").select_for_update(no_key=True)
    return [department for department in departments if not department.is_active]


def tell_heads(instance: models.Model, action: str, pk_set: set[int] | None, using: str, **_kwargs: Any) -> None:
    """
    m2m_changed: have the heads told who came, and who left.

    Who leaves is asked before the links go: afterwards nobody knows who of those that were named had been there.
    """
    if action == "post_add":
        request_head_notices(_pairs(instance, pk_set or set()), HeadNotice.ADDED)
    elif action in {"pre_remove", "pre_clear"}:
        links = Doctor.departments.through._base_manager.using(using)
        own, other = (
            ("department_id", "doctor_id") if isinstance(instance, Department) else ("doctor_id", "department_id")
        )
        held = links.filter(**{own: instance.pk}).values_list(other, flat=True)
        leaving = set(held) if pk_set is None else set(held) & {int(key) for key in pk_set}
        request_head_notices(_pairs(instance, leaving), HeadNotice.REMOVED)


def _pairs(instance: models.Model, others: set[int]) -> dict[int, set[int]]:
    """Return the doctors by department, from whichever side the links are changed."""
    if isinstance(instance, Department):
        return {instance.pk: others} if others else {}
    return {department_id: {instance.pk} for department_id in others}


CONNECTIONS = (
    Connection(pre_save, refuse_inactive_main, sender=Doctor),
    Connection(m2m_changed, refuse_inactive, sender=Doctor.departments.through),
    Connection(m2m_changed, tell_heads, sender=Doctor.departments.through),
)
