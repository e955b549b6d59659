"""Whom doctors see."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Patient(models.Model):
    """A patient; the social security number never leaves this table in plain text."""

    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    date_of_birth = models.DateField(null=True, blank=True)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=32, blank=True)
    ssn = models.CharField("social security number", max_length=11, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(last_name=""), name="doctors_patient_last_name_not_empty")]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"
