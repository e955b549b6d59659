"""Doctors are found by the names of their specialties: the tags follow every change of either."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete

from doctors.models import Doctor, Specialty
from doctors.receivers.connection import Connection

# Where a specialty carries the keys of its doctors from the signal before its links go to the one after.
LOSING = "_doctors_losing_it"


def tag_doctors(instance: models.Model, action: str, pk_set: set[int] | None, using: str, **_kwargs: Any) -> None:
    """m2m_changed: make the tags anew, from whichever side the links were changed."""
    if isinstance(instance, Doctor):
        if action.startswith("post_"):
            instance.update_search_tags()
    elif action == "pre_clear":
        remember_doctors(instance, using)
    elif action == "post_clear":
        tag_remembered(instance, using)
    elif action.startswith("post_"):
        _tag(pk_set or (), using)


def tag_renamed(
    instance: Specialty, created: bool, raw: bool, update_fields: frozenset[str] | None, using: str, **_kwargs: Any
) -> None:
    """post_save: doctors of a renamed specialty are found by its new name."""
    if not (created or raw) and (update_fields is None or "name" in update_fields):
        _tag(_doctors_of(instance, using), using)


def remember_doctors(instance: models.Model, using: str, **_kwargs: Any) -> None:
    """pre_delete: note whose links are about to go."""
    setattr(instance, LOSING, _doctors_of(instance, using))


def tag_remembered(instance: models.Model, using: str, **_kwargs: Any) -> None:
    """post_delete: doctors are no longer found by what is gone."""
    _tag(instance.__dict__.pop(LOSING, ()), using)


def _doctors_of(specialty: models.Model, using: str) -> list[int]:
    links = Doctor.specialties.through._base_manager.using(using)
    return list(links.filter(specialty_id=specialty.pk).values_list("doctor_id", flat=True))


def _tag(keys: Iterable[int], using: str) -> None:
    if wanted := set(keys):
        Doctor.objects.using(using).update_search_tags(wanted)


CONNECTIONS = (
    Connection(m2m_changed, tag_doctors, sender=Doctor.specialties.through),
    Connection(post_save, tag_renamed, sender=Specialty),
    Connection(pre_delete, remember_doctors, sender=Specialty),
    Connection(post_delete, tag_remembered, sender=Specialty),
)
