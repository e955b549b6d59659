"""
A photo that no doctor has any more is removed from its storage, whatever that is, once the change has committed.

Set-based updates of the column send no signal, and remove nothing.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, pre_save

from doctors.models import Doctor
from doctors.receivers.connection import Connection


def remove_replaced(
    instance: Doctor, raw: bool, using: str, update_fields: frozenset[str] | None, **_kwargs: Any
) -> None:
    """pre_save: remove the file that another one replaces, or none."""
    if raw or not instance.replaces_photo(update_fields):
        return
    # The row decides which file is replaced, and stays locked: two uploads at once remove one file each.
    row = Doctor.objects.using(using).select_for_update(no_key=True).filter(pk=instance.pk)
    held = row.values_list("photo", flat=True).first()
    if held:
        _remove_after_commit(instance, held, using)


def remove_with_doctor(instance: Doctor, using: str, **_kwargs: Any) -> None:
    """post_delete: remove the doctor's file."""
    if instance.photo:
        _remove_after_commit(instance, instance.photo.name or "", using)


def _remove_after_commit(doctor: Doctor, name: str, using: str) -> None:
    storage = doctor.photo.storage

    def remove() -> None:
        # The same file again, or one that another row shares, stays.
        if not Doctor.objects.using(using).filter(photo=name).exists():
            storage.delete(name)

    # Robust: a storage that is away is logged by Django, and keeps no other receiver's work from being done.
    transaction.on_commit(remove, using=using, robust=True)


CONNECTIONS = (
    Connection(pre_save, remove_replaced, sender=Doctor),
    Connection(post_delete, remove_with_doctor, sender=Doctor),
)
