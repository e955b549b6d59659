"""The hospital directory follows what is written of doctors, where there is one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models.signals import post_delete, post_save

from doctors.directory.tasks import sync_to_directory
from doctors.models import Doctor
from doctors.receivers.connection import Connection
from doctors.signals import doctors_written


def sync_saved(instance: Doctor, raw: bool, **_kwargs: Any) -> None:
    """post_save: tell the directory of the doctor."""
    if not raw:
        _sync([instance.pk])


def sync_deleted(instance: Doctor, **_kwargs: Any) -> None:
    """post_delete: tell the directory that the doctor is gone."""
    _sync([instance.pk])


def sync_written(doctor_ids: Iterable[int], **_kwargs: Any) -> None:
    """doctors_written: tell the directory of doctors who were written together."""
    _sync(sorted(doctor_ids))


def _sync(doctor_ids: list[int]) -> None:
    if settings.DIRECTORY_URL and doctor_ids:
        sync_to_directory.enqueue(doctor_ids)


CONNECTIONS = (
    Connection(post_save, sync_saved, sender=Doctor),
    Connection(post_delete, sync_deleted, sender=Doctor),
    Connection(doctors_written, sync_written),
)
