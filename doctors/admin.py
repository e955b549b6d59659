"""The domain in Django's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import URLField
from django.http import HttpRequest

from doctors import models

if TYPE_CHECKING:
    DoctorAdminBase = admin.ModelAdmin[models.Doctor]
    DepartmentAdminBase = admin.ModelAdmin[models.Department]
    SpecialtyAdminBase = admin.ModelAdmin[models.Specialty]
    ProfileAdminBase = admin.ModelAdmin[models.DoctorProfile]
    LocationAdminBase = admin.ModelAdmin[models.PracticeLocation]
    PatientAdminBase = admin.ModelAdmin[models.Patient]
    AppointmentAdminBase = admin.ModelAdmin[models.Appointment]
    MailAdminBase = admin.ModelAdmin[models.DoctorMail]
else:
    DoctorAdminBase = DepartmentAdminBase = SpecialtyAdminBase = ProfileAdminBase = admin.ModelAdmin
    LocationAdminBase = PatientAdminBase = AppointmentAdminBase = MailAdminBase = admin.ModelAdmin


@admin.register(models.Doctor)
class DoctorAdmin(DoctorAdminBase):
    """Doctors; the slug is made once and only shown."""

    list_display = ("last_name", "first_name", "npi", "department", "is_active")
    list_filter = ("is_active",)
    search_fields = ("last_name", "first_name", "npi", "email")
    readonly_fields = ("slug", "created_at", "updated_at")
    autocomplete_fields = ("department", "departments", "specialties")
    ordering = ("last_name", "first_name", "pk")


@admin.register(models.Department)
class DepartmentAdmin(DepartmentAdminBase):
    """Departments and affiliated hospitals."""

    list_display = ("code", "name", "head", "is_active")
    list_filter = ("is_active",)
    list_select_related = ("head",)
    search_fields = ("code", "name")
    autocomplete_fields = ("head",)
    ordering = ("code",)


@admin.register(models.Specialty)
class SpecialtyAdmin(SpecialtyAdminBase):
    """Specialties."""

    search_fields = ("name",)
    ordering = ("name",)


@admin.register(models.DoctorProfile)
class DoctorProfileAdmin(ProfileAdminBase):
    """What doctors tell patients."""

    list_display = ("doctor", "accepts_new_patients")
    list_select_related = ("doctor",)
    autocomplete_fields = ("doctor",)
    ordering = ("pk",)
    formfield_overrides = {URLField: {"assume_scheme": "https"}}


@admin.register(models.PracticeLocation)
class PracticeLocationAdmin(LocationAdminBase):
    """Addresses of doctors."""

    list_display = ("doctor", "address_line_1", "city", "state", "phone")
    list_select_related = ("doctor",)
    search_fields = ("adrs_id", "city", "doctor__last_name")
    autocomplete_fields = ("doctor",)
    ordering = ("pk",)


@admin.register(models.Patient)
class PatientAdmin(PatientAdminBase):
    """Patients."""

    list_display = ("last_name", "first_name", "date_of_birth")
    search_fields = ("last_name", "first_name")
    ordering = ("last_name", "first_name", "pk")


@admin.register(models.DoctorMail)
class DoctorMailAdmin(MailAdminBase):
    """Mails that were asked for; nothing to change."""

    list_display = ("doctor", "kind", "requested_at", "sent_at")
    list_filter = ("kind", ("sent_at", admin.EmptyFieldListFilter))
    list_select_related = ("doctor",)
    ordering = ("-requested_at",)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Nobody: mails have reasons."""
        return False

    def has_change_permission(self, _request: HttpRequest, _mail: models.DoctorMail | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, _request: HttpRequest, _mail: models.DoctorMail | None = None) -> bool:
        """Nobody: a welcome would be sent again."""
        return False


@admin.register(models.Appointment)
class AppointmentAdmin(AppointmentAdminBase):
    """Appointments."""

    list_display = ("start", "end", "doctor", "patient", "status")
    list_filter = ("status",)
    list_select_related = ("doctor", "patient")
    autocomplete_fields = ("doctor", "patient")
    ordering = ("-start",)
