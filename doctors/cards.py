"""
Cards: what everybody who works with doctors may see of one, without anything private.

Read through the cache; `doctors.receivers.cache` forgets what is no longer true.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from doctors.cache import keys
from doctors.cache.reading import cached
from doctors.models import Doctor

Card = dict[str, Any]


def card(doctor: Doctor) -> Card:
    """Return the card of a doctor, as JSON has it."""
    return {
        "id": doctor.pk,
        "slug": doctor.slug,
        "npi": doctor.npi,
        "first_name": doctor.first_name,
        "last_name": doctor.last_name,
        "credential": doctor.credential,
        "is_active": doctor.is_active,
        "department": doctor.department.code if doctor.department else None,
        "specialties": doctor.search_tags,
    }


def card_of_slug(slug: str) -> Card | None:
    """Return the card of the doctor with this slug; None where there is none, which is not kept."""
    found: Card | None = cached(keys.doctor_of_slug(slug), lambda: _first(slug=slug))
    return found


def page(number: int, size: int) -> dict[str, Any]:
    """Return the cards of a page, counted from 1, in the order of the doctors' keys, and how many there are in all."""

    def read() -> dict[str, Any]:
        rows = Doctor.objects.select_related("department").order_by("pk")
        first = (number - 1) * size
        return {"count": rows.count(), "results": [card(doctor) for doctor in rows[first : first + size]]}

    return cached(keys.doctor_page(number, size), read)


def cards_of_department(department_id: int) -> list[Card]:
    """Return the cards of the active doctors of a department, those who are affiliated with it included, by name."""

    def read() -> list[Card]:
        affiliated = Doctor.departments.through.objects.filter(department_id=department_id).values("doctor_id")
        rows = Doctor.objects.select_related("department").filter(is_active=True)
        rows = rows.filter(Q(department_id=department_id) | Q(pk__in=affiliated))
        return [card(doctor) for doctor in rows.order_by("last_name", "first_name", "pk")]

    return cached(keys.doctors_of_department(department_id), read)


def _first(**condition: Any) -> Card | None:
    doctor = Doctor.objects.select_related("department").filter(**condition).first()
    return None if doctor is None else card(doctor)
