"""Doctors: who they are, and what they tell about themselves."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import FileExtensionValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from doctors.models.department import Department, Specialty
from doctors.models.fields import DoctorSlugField
from doctors.npi import NPI_PATTERN, validate_npi

PHOTO_EXTENSIONS = ("jpg", "jpeg", "png", "webp")


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
    email = models.EmailField(unique=True, null=True, blank=True)
    slug = DoctorSlugField(max_length=220, unique=True, blank=True, editable=False)
    license_number = models.CharField(max_length=50, unique=True, null=True, blank=True)
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
    search_tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    department = models.ForeignKey(
        Department, on_delete=models.SET_NULL, null=True, blank=True, related_name="primary_doctors"
    )
    departments = models.ManyToManyField(Department, blank=True, related_name="doctors")
    specialties = models.ManyToManyField(Specialty, blank=True, related_name="doctors")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["last_name", "first_name"], name="doctors_doctor_by_name")]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="doctors_doctor_email_once_in_any_case"),
            models.CheckConstraint(condition=~Q(last_name=""), name="doctors_doctor_last_name_not_empty"),
            models.CheckConstraint(condition=~Q(slug=""), name="doctors_doctor_slug_not_empty"),
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


class DoctorProfile(models.Model):
    """What a doctor tells patients."""

    doctor = models.OneToOneField(Doctor, on_delete=models.CASCADE, related_name="profile")
    languages = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    website = models.URLField(blank=True)
    statement = models.TextField(blank=True)
    accepts_new_patients = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"Profile of doctor {self.doctor_id}"
