"""A doctor is about to be written: what every row of the table keeps to."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save, pre_save

from doctors.keys import draw_keys
from doctors.models import Doctor, DoctorProfile
from doctors.receivers.connection import Connection


def keep_rules(instance: Doctor, **_kwargs: Any) -> None:
    """pre_save: refuse a licence number that is none, and normalize the e-mail address."""
    instance.keep_rules()


def make_slug(instance: Doctor, using: str, **_kwargs: Any) -> None:
    """pre_save: make the slug of a new doctor; its key is drawn now, so that one INSERT writes all of it."""
    key: int | None = instance.pk
    if instance._state.adding and not instance.slug:
        if key is None:
            (instance.pk,) = draw_keys(Doctor, count=1, using=using)
        instance.make_slug()


def create_profile(instance: Doctor, created: bool, raw: bool, using: str, **_kwargs: Any) -> None:
    """post_save: give a new doctor a profile; a fixture brings its own."""
    if created and not raw:
        DoctorProfile.objects.using(using).create(doctor=instance)


CONNECTIONS = (
    Connection(pre_save, keep_rules, sender=Doctor),
    Connection(pre_save, make_slug, sender=Doctor),
    Connection(post_save, create_profile, sender=Doctor),
)
