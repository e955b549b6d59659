"""Where doctors work and what they are trained in."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q


def refusal_of_inactive(departments: Iterable[Department]) -> ValidationError:
    """Return what is said of an assignment to departments that are not active."""
    names = ", ".join(department.name for department in departments)
    return ValidationError(f"Cannot assign inactive department: {names}.", code="inactive_department")


class Department(models.Model):
    """A department or affiliated hospital; hospitals bring their CMS certification number as code."""

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=200)
    head = models.ForeignKey(
        "doctors.Doctor", on_delete=models.SET_NULL, null=True, blank=True, related_name="headed_departments"
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(code=""), name="doctors_department_code_not_empty"),
            models.CheckConstraint(condition=~Q(name=""), name="doctors_department_name_not_empty"),
        ]

    def __str__(self) -> str:
        return self.name


class Specialty(models.Model):
    """A field of medicine."""

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "specialties"
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="doctors_specialty_name_not_empty")]

    def __str__(self) -> str:
        return self.name
