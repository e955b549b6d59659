"""
What was written is no longer what the cache keeps.

Django's signals tell of instances, so that their own keys are forgotten. `table_written` tells of statements without
instances (`update`, `bulk_create`, `bulk_update`) and of links, also of those that an import writes: where nobody knows
without asking whose rows they were, the whole family is forgotten.
"""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_save

from auditlog.signals import table_written
from auditlog.vocabulary import Operation
from doctors.cache import keys
from doctors.cache.invalidator import forget
from doctors.models import Department, Doctor, Specialty
from doctors.receivers.connection import Connection

# The department that a doctor left is not known to the one who saves the new one.
LISTS_OF_DOCTORS = (keys.EVERY_DOCTOR_PAGE, keys.DOCTORS_OF_EVERY_DEPARTMENT)
ALL_DOCTORS = (keys.EVERYTHING_OF_DOCTORS, keys.DOCTORS_OF_EVERY_DEPARTMENT)


def forget_doctor(instance: Doctor, using: str, **_kwargs: Any) -> None:
    """post_save, post_delete: forget a doctor, and the lists in which doctors are."""
    own = (keys.doctor(instance.pk), keys.doctor_of_slug(instance.slug))
    forget(*own, *keys.DOCTOR_LISTS, patterns=LISTS_OF_DOCTORS, using=using)


def forget_department(instance: Department, using: str, created: bool = False, **_kwargs: Any) -> None:
    """post_save, post_delete: forget a department, and the doctors who name it."""
    own = (keys.department(instance.pk), keys.DEPARTMENT_LIST, keys.doctors_of_department(instance.pk))
    forget(*own, patterns=() if created else ALL_DOCTORS, using=using)


def forget_doctors_of_specialty(operation: Operation, using: str, **_kwargs: Any) -> None:
    """table_written: forget the doctors who name a specialty that was changed or removed; nobody names a new one."""
    if operation is not Operation.CREATE:
        forget(patterns=ALL_DOCTORS, using=using)


def forget_doctors(operation: Operation, using: str, framed: bool, named_keys: tuple[str, ...], **_kwargs: Any) -> None:
    """table_written: forget the doctors whom a set-based statement names, all of them if it names none."""
    if framed:
        return
    if operation is Operation.CREATE:
        # Nothing is kept of doctors who are new.
        forget(*keys.DOCTOR_LISTS, patterns=LISTS_OF_DOCTORS, using=using)
    elif named_keys:
        patterns = (keys.EVERY_DOCTOR_SLUG, *LISTS_OF_DOCTORS)
        forget(*map(keys.doctor, named_keys), *keys.DOCTOR_LISTS, patterns=patterns, using=using)
    else:
        forget(patterns=ALL_DOCTORS, using=using)


def forget_all_departments(operation: Operation, using: str, framed: bool, **_kwargs: Any) -> None:
    """table_written: forget departments, and the doctors who name them, after a statement that names none of them."""
    if framed:
        return
    if operation is Operation.CREATE:
        forget(keys.DEPARTMENT_LIST, using=using)
    else:
        forget(patterns=(keys.EVERYTHING_OF_DEPARTMENTS, keys.EVERYTHING_OF_DOCTORS), using=using)


def forget_doctors_of_links(operation: Operation, instances: Any, using: str, **_kwargs: Any) -> None:
    """table_written: forget the doctors whose links a statement wrote, from either side of the relation."""
    if operation is Operation.CREATE:
        doctors = {keys.doctor(link.doctor_id) for link in instances}
        forget(*doctors, *keys.DOCTOR_LISTS, patterns=LISTS_OF_DOCTORS, using=using)
    else:
        forget(patterns=ALL_DOCTORS, using=using)


CONNECTIONS = (
    Connection(post_save, forget_doctor, sender=Doctor),
    Connection(post_delete, forget_doctor, sender=Doctor),
    Connection(post_save, forget_department, sender=Department),
    Connection(post_delete, forget_department, sender=Department),
    Connection(table_written, forget_doctors, sender=Doctor),
    Connection(table_written, forget_all_departments, sender=Department),
    Connection(table_written, forget_doctors_of_specialty, sender=Specialty),
    Connection(table_written, forget_doctors_of_links, sender=Doctor.specialties.through),
    Connection(table_written, forget_doctors_of_links, sender=Doctor.departments.through),
)
