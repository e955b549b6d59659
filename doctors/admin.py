"""The domain in Django's admin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import QuerySet, URLField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from doctors import models
from doctors.models.department import refusal_of_inactive
from doctors.services import DoctorService

if TYPE_CHECKING:
    AdminBase = admin.ModelAdmin[Any]
    DoctorFormBase = forms.ModelForm[models.Doctor]
else:
    AdminBase, DoctorFormBase = admin.ModelAdmin, forms.ModelForm


class DomainAdmin(AdminBase):
    """Shows what the domain refuses, also where the form could not know of it."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, or write what it holds."""
        show = partial(super().changeform_view, request, object_id, form_url, extra_context)
        try:
            try:
                return show()
            except IntegrityError:
                # Another transaction committed in between: now the form sees its row, and can name the field.
                return show()
        except ValidationError as exc:
            self.message_user(request, " ".join(exc.messages), messages.ERROR)
        except IntegrityError:
            self.message_user(request, "Somebody else has changed this in the meantime.", messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())


class DoctorForm(DoctorFormBase):
    """What the admin may change of a doctor."""

    def clean_departments(self) -> Any:
        """Return the departments, if none is closed but those that the doctor is in already."""
        departments = self.cleaned_data["departments"]
        held = set(self.instance.departments.values_list("pk", flat=True)) if self.instance.pk else set()
        if closed := [row for row in departments if not (row.is_active or row.pk in held)]:
            raise refusal_of_inactive(closed)
        return departments


@admin.register(models.Doctor)
class DoctorAdmin(DomainAdmin):
    """Doctors; the slug is made once and only shown."""

    form = DoctorForm
    list_display = ("last_name", "first_name", "npi", "department", "is_active")
    list_filter = ("is_active",)
    search_fields = ("last_name", "first_name", "npi", "email")
    readonly_fields = ("slug", "search_tags", "created_at", "updated_at")
    autocomplete_fields = ("department", "departments", "specialties")
    ordering = ("last_name", "first_name", "pk")
    actions = ("activate_selected",)

    def save_model(self, request: HttpRequest, obj: models.Doctor, form: Any, change: bool) -> None:
        """Save the doctor; activation and deactivation are transitions."""
        if not (change and "is_active" in form.changed_data):
            super().save_model(request, obj, form, change)
            return
        is_active, obj.is_active = obj.is_active, not obj.is_active
        super().save_model(request, obj, form, change)
        obj.activate() if is_active else obj.deactivate()

    @admin.action(description="Activate the selected doctors", permissions=["change"])
    def activate_selected(self, request: HttpRequest, queryset: QuerySet[models.Doctor]) -> None:
        """Let these doctors be booked."""
        count = DoctorService.bulk_activate(queryset.values_list("pk", flat=True))
        self.message_user(request, f"{count} doctors were activated.", messages.SUCCESS)


@admin.register(models.Department)
class DepartmentAdmin(DomainAdmin):
    """Departments and affiliated hospitals."""

    list_display = ("code", "name", "head", "is_active")
    list_filter = ("is_active",)
    list_select_related = ("head",)
    search_fields = ("code", "name")
    autocomplete_fields = ("head",)
    ordering = ("code",)


@admin.register(models.Specialty)
class SpecialtyAdmin(DomainAdmin):
    """Specialties."""

    search_fields = ("name",)
    ordering = ("name",)


@admin.register(models.DoctorProfile)
class DoctorProfileAdmin(DomainAdmin):
    """What doctors tell patients."""

    list_display = ("doctor", "accepts_new_patients")
    list_select_related = ("doctor",)
    autocomplete_fields = ("doctor",)
    ordering = ("pk",)
    formfield_overrides = {URLField: {"assume_scheme": "https"}}


@admin.register(models.PracticeLocation)
class PracticeLocationAdmin(DomainAdmin):
    """Addresses of doctors."""

    list_display = ("doctor", "address_line_1", "city", "state", "phone")
    list_select_related = ("doctor",)
    search_fields = ("adrs_id", "city", "doctor__last_name")
    autocomplete_fields = ("doctor",)
    ordering = ("pk",)


@admin.register(models.Patient)
class PatientAdmin(DomainAdmin):
    """Patients."""

    list_display = ("last_name", "first_name", "date_of_birth")
    search_fields = ("last_name", "first_name")
    ordering = ("last_name", "first_name", "pk")


@admin.register(models.DoctorMail)
class DoctorMailAdmin(AdminBase):
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
class AppointmentAdmin(DomainAdmin):
    """Appointments."""

    list_display = ("start", "end", "doctor", "patient", "status")
    list_filter = ("status",)
    list_select_related = ("doctor", "patient")
    autocomplete_fields = ("doctor", "patient")
    ordering = ("-start",)
    readonly_fields = ("cancellation_reason",)

    def save_model(self, request: HttpRequest, obj: models.Appointment, form: Any, change: bool) -> None:
        """Save the appointment; booking and cancelling are transitions."""
        if not change and obj.status in models.PENDING:
            obj.place()
            return
        before = form.initial.get("status")
        if not (before in models.PENDING and obj.status == models.AppointmentStatus.CANCELLED):
            super().save_model(request, obj, form, change)
            return
        obj.status = before
        super().save_model(request, obj, form, change)
        obj.cancel()
