"""Models of one shape, fifteen columns, that differ only in who audits them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Person(models.Model):
    """Columns of the usual types."""

    first_name = models.CharField(max_length=100)
    last_name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    slug = models.SlugField(max_length=200)
    phone = models.CharField(max_length=30)
    bio = models.TextField()
    is_active = models.BooleanField(default=True)
    hired_on = models.DateField()
    tags = models.JSONField(default=list)
    rating = models.FloatField(default=0)
    visits = models.IntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class Specialty(models.Model):
    """The target of the many-to-many fields; registered by no one."""

    name = models.CharField(max_length=50)

    objects: ClassVar[models.Manager[Specialty]]

    def __str__(self) -> str:
        return self.name


class Clinician(Person):
    """With the masked column and the many-to-many field that models in production have."""

    tax_id = models.CharField(max_length=20)
    specialties = models.ManyToManyField(Specialty)

    class Meta:
        abstract = True


class Plain(Clinician):
    """Audited by nobody."""


class Audited(Clinician):
    """Registered."""


class Triggered(Clinician):
    """Audited by a hand-written trigger: see `bench.trigger`."""


class Lone(Person):
    """No other table refers to it, and it has no many-to-many field and no mask."""

    licence = models.CharField(max_length=20)

    class Meta:
        abstract = True


class LonePlain(Lone):
    """Audited by nobody."""


class LoneAudited(Lone):
    """Registered."""
