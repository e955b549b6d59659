"""Doctors: who they are, and what they tell about themselves."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from enum import StrEnum
from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import FileExtensionValidator, MinValueValidator
from django.db import models, router, transaction
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.text import slugify

from auditlog.events import record
from doctors.licence import LICENCE_PREFIX, validate_licence
from doctors.models.department import Department, Specialty
from doctors.models.fields import NormalizedEmailField, normalized_email
from doctors.models.querysets import LONGEST_TAG, DoctorQuerySet
from doctors.npi import NPI_PATTERN, validate_npi
from doctors.search import document
from doctors.signals import announce, doctor_activated, doctor_deactivated
from doctors.transition import transition

SLUG_CHARACTERS = 220
PHOTO_EXTENSIONS = ("jpg", "jpeg", "png", "webp")


# Why the appointments of a doctor who was deactivated are cancelled.
DEACTIVATION_REASON = "Doctor deactivated"


class DoctorAction(StrEnum):
    """Domain events of doctors."""

    ACTIVATED = "activated"  # may be booked from now on
    DEACTIVATED = "deactivated"  # may not be booked any more


class Gender(models.TextChoices):
    """As CMS publishes it."""

    FEMALE = "F", "female"
    MALE = "M", "male"
    OTHER = "X", "other"


class Doctor(models.Model):
    """A clinician. What a national file does not know may be empty."""

    first_name = models.CharField(max_length=100)
    middle_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100)
    suffix = models.CharField(max_length=20, blank=True)
    credential = models.CharField(max_length=20, blank=True)
    gender = models.CharField(max_length=1, choices=Gender.choices, blank=True)
    email = NormalizedEmailField(unique=True, null=True, blank=True)
    slug = models.SlugField(max_length=SLUG_CHARACTERS, unique=True, blank=True, editable=False)
    license_number = models.CharField(max_length=50, unique=True, null=True, blank=True, validators=[validate_licence])
    npi = models.CharField(
        "NPI",
        max_length=10,
        unique=True,
        null=True,
        blank=True,
        validators=[validate_npi],
        help_text="National Provider Identifier: ten digits, the last one a check digit; empty until it is assigned.",
    )
    phone = models.CharField(max_length=32, blank=True)
    bio = models.TextField(blank=True)
    photo = models.FileField(
        upload_to="doctors/photos/%Y/%m/", blank=True, validators=[FileExtensionValidator(PHOTO_EXTENSIONS)]
    )
    is_active = models.BooleanField(default=True)
    medical_school = models.CharField(max_length=200, blank=True)
    graduation_year = models.PositiveSmallIntegerField(null=True, blank=True)
    hire_date = models.DateField(null=True, blank=True)
    consultation_fee = models.DecimalField(
        max_digits=10, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    tax_id = models.CharField(max_length=32, blank=True)
    search_tags = ArrayField(models.CharField(max_length=LONGEST_TAG), default=list, blank=True, editable=False)
    department = models.ForeignKey(
        Department, on_delete=models.SET_NULL, null=True, blank=True, related_name="primary_doctors"
    )
    departments = models.ManyToManyField(Department, blank=True, related_name="doctors")
    specialties = models.ManyToManyField(Specialty, blank=True, related_name="doctors")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    _photo_loaded: str = ""
    _department_loaded: int | None = None

    objects = models.Manager.from_queryset(DoctorQuerySet)()

    class Meta:
        indexes = [
            models.Index(fields=["last_name", "first_name"], name="doctors_doctor_by_name"),
            GinIndex(document(), name="doctors_doctor_words"),
        ]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="doctors_doctor_email_once_in_any_case"),
            models.CheckConstraint(condition=~Q(last_name=""), name="doctors_doctor_last_name_not_empty"),
            models.CheckConstraint(condition=~Q(slug=""), name="doctors_doctor_slug_not_empty"),
            models.CheckConstraint(
                condition=Q(license_number__isnull=True)
                | Q(license_number="")
                | Q(license_number__startswith=LICENCE_PREFIX),
                name="doctors_doctor_licence_begins_with_md",
            ),
            models.CheckConstraint(
                condition=Q(npi__isnull=True) | Q(npi__regex=NPI_PATTERN), name="doctors_doctor_npi_ten_digits"
            ),
            models.CheckConstraint(
                condition=Q(consultation_fee__isnull=True) | Q(consultation_fee__gte=0),
                name="doctors_doctor_fee_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"Dr {self.first_name} {self.last_name}"

    @classmethod
    def from_db(cls, *args: Any, **options: Any) -> Self:
        """Remember what the row had, so that a replacement is known without a question to the database."""
        doctor = super().from_db(*args, **options)
        doctor._remember()
        return doctor

    def save(self, *, force_insert: Any = False, using: str | None = None, **options: Any) -> None:
        """
        Write the row and what belongs to it: together, where receivers write rows of their own.

        An INSERT is one where the key is drawn beforehand, too: Django would look for the row first.
        """
        using = using or router.db_for_write(type(self), instance=self)
        key: int | None = self.pk
        forced = force_insert or (self._state.adding and key is None and not options.get("force_update"))
        written = options.get("update_fields")
        together = self._state.adding or self.replaces_photo(written) or self.moves_department(written)
        with transaction.atomic(using=using) if together else nullcontext():
            super().save(force_insert=forced, using=using, **options)
        if together:
            self._remember()

    def activate(self, activated_by: Any = None) -> bool:
        """
        Let the doctor be booked, and tell whether that changed anything.

        Row, event and signal belong to one transaction. `activated_by` defaults to who acts in the context. Safe to
        repeat.
        """
        using = router.db_for_write(type(self), instance=self)
        with transition(actor=activated_by, using=using) as actor:
            if not self._set_active(True, action=DoctorAction.ACTIVATED, using=using):
                return False
            announce(doctor_activated, sender=type(self), using=using, doctor=self, activated_by=actor)
        return True

    def deactivate(self, deactivated_by: Any = None) -> bool:
        """
        Let the doctor not be booked any more, cancel what is pending, and tell whether that changed anything.

        Rows, events and signals belong to one transaction; bookings wait for it. `deactivated_by` defaults to who acts
        in the context. Safe to repeat.
        """
        using = router.db_for_write(type(self), instance=self)
        with transition(actor=deactivated_by, using=using) as actor:
            if not self._set_active(False, action=DoctorAction.DEACTIVATED, using=using):
                return False
            appointments: Any = self.appointments
            # Locked before they are cancelled: one that took place at this moment is none of them.
            pending = appointments.using(using).pending().select_for_update(no_key=True).order_by("pk")
            for appointment in pending:
                appointment.cancel(cancelled_by=actor, reason=DEACTIVATION_REASON)
            announce(doctor_deactivated, sender=type(self), using=using, doctor=self, deactivated_by=actor)
        return True

    def replaces_photo(self, update_fields: Iterable[str] | None = None) -> bool:
        """Tell whether a save may put another photo, or none, in the place of the one that was loaded."""
        if self._state.adding or not self._writes("photo", update_fields):
            return False
        is_upload = not getattr(self.photo, "_committed", True)
        return is_upload or (self.photo.name or "") != self._photo_loaded

    def moves_department(self, update_fields: Iterable[str] | None = None) -> bool:
        """Tell whether a save may put the doctor into another department than the one that was loaded."""
        writes = self._writes("department_id", update_fields) or self._writes("department", update_fields)
        return writes and self.department_id not in {None, self._department_loaded}

    def keep_rules(self) -> None:
        """
        Normalize what is about to be written, and refuse what may not be.

        :raises ValidationError: which names the field.
        """
        loaded = self.__dict__
        # Expressions are judged by the database's constraints.
        if isinstance(number := loaded.get("license_number"), str) and number:
            try:
                validate_licence(number)
            except ValidationError as exc:
                raise ValidationError({"license_number": exc}) from exc
        if isinstance(email := loaded.get("email"), str):
            self.email = normalized_email(email) or None

    def make_slug(self) -> None:
        """Make the slug of names and key, once: links must not break when somebody marries."""
        if self.slug:
            return
        names = slugify(f"{self.first_name}-{self.last_name}")[: SLUG_CHARACTERS - len(f"-{self.pk}")].strip("-")
        self.slug = f"{names}-{self.pk}".strip("-")

    def update_search_tags(self) -> None:
        """Make the tags those of the specialties, in the row and in this instance."""
        for held in type(self).objects.update_search_tags([self.pk]):
            self.search_tags, self.updated_at = held.search_tags, held.updated_at

    def _writes(self, name: str, update_fields: Iterable[str] | None) -> bool:
        return name in update_fields if update_fields is not None else name in self.__dict__

    def _remember(self) -> None:
        photo = self.__dict__.get("photo")
        self._photo_loaded = getattr(photo, "name", photo) or ""
        self._department_loaded = self.__dict__.get("department_id")

    def _set_active(self, is_active: bool, *, action: DoctorAction, using: str) -> bool:
        # The instance may be stale: the row decides, and stays locked until everything is written.
        held = type(self).objects.using(using).select_for_update(no_key=True).only("is_active").get(pk=self.pk)
        self.is_active = is_active
        if held.is_active == is_active:
            return False
        self.save(using=using, update_fields=["is_active", "updated_at"])
        record(self, action=action, data={"previous": not is_active})
        return True


class DoctorProfile(models.Model):
    """What a doctor tells patients."""

    doctor = models.OneToOneField(Doctor, on_delete=models.CASCADE, related_name="profile")
    languages = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    website = models.URLField(blank=True)
    statement = models.TextField(blank=True)
    accepts_new_patients = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"Profile of doctor {self.doctor_id}"
