"""What the lists can be narrowed to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import django_filters as filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import BooleanField, Field, Q, QuerySet
from django.utils.dateparse import parse_datetime

from doctors import models, search


class Truth(forms.Field):
    """`true` or `false`; Django's own field takes anything else for no answer."""

    def to_python(self, value: Any) -> bool | None:
        """Return what the text says, None where there is none."""
        if value in self.empty_values:
            return None
        found = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if found is None:
            raise ValidationError("Enter true or false.", code="invalid")
        return found


class TruthFilter(filters.BooleanFilter):  # type: ignore[misc]
    """Rows of which a column is true, or false."""

    field_class = Truth


class Instant(forms.Field):
    """A time with an offset: without one nobody knows what it means, and not all offsets are the database's."""

    def to_python(self, value: Any) -> datetime | None:
        """Return the time in UTC, None where there is none."""
        if value in self.empty_values:
            return None
        try:
            at = parse_datetime(str(value))
            if at is not None and at.tzinfo is not None:
                return at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise ValidationError("Enter an ISO 8601 time with an offset: 2026-11-23T09:05:00Z.", code="invalid")


class InstantFilter(filters.IsoDateTimeFilter):  # type: ignore[misc]
    """Rows of which a time is before, or after."""

    field_class = Instant


class Names(filters.fields.BaseCSVField):  # type: ignore[misc]
    """Names with commas between them; of nothing but commas the library would make rows in no order."""

    def clean(self, value: Any) -> Any:
        """Return the names."""
        if not all(value or ()):
            raise ValidationError("Write names with commas between them.", code="invalid")
        return super().clean(value)


class Ordering(filters.OrderingFilter):  # type: ignore[misc]
    """Rows in the order of columns."""

    base_field_class = Names


class Filters(filters.FilterSet):  # type: ignore[misc]
    """Refuses values that make no sense."""

    FILTER_DEFAULTS: ClassVar[dict[type[Field[Any, Any]], Any]] = {
        **filters.filterset.FILTER_FOR_DBFIELD_DEFAULTS,
        BooleanField: {"filter_class": TruthFilter},
    }


class DoctorFilter(Filters):
    """Filters of `/api/doctors/`."""

    search = filters.CharFilter(method="search_names", label="Part of the first or last name")
    specialty = filters.ModelChoiceFilter(field_name="specialties", queryset=models.Specialty.objects.all())
    # The department a doctor belongs to, or any that the doctor is affiliated with.
    department = filters.ModelChoiceFilter(method="in_department", queryset=models.Department.objects.all())
    hired_from = filters.DateFilter(field_name="hire_date", lookup_expr="gte")
    hired_to = filters.DateFilter(field_name="hire_date", lookup_expr="lte")
    state = filters.CharFilter(method="in_state", max_length=2, label="State of a practice location")
    ordering = Ordering(fields=("id", "last_name", "hire_date", "updated_at"))

    class Meta:
        model = models.Doctor
        fields = ("npi", "email", "slug", "license_number", "last_name", "is_active")

    def search_names(self, rows: QuerySet[models.Doctor], _name: str, value: str) -> QuerySet[models.Doctor]:
        """Return doctors whose names hold the text."""
        return rows.filter(Q(first_name__icontains=value) | Q(last_name__icontains=value))

    def in_department(self, rows: QuerySet[models.Doctor], _name: str, value: Any) -> QuerySet[models.Doctor]:
        """Return doctors of the department, each once."""
        linked = models.Doctor.departments.through.objects.filter(department_id=value.pk).values("doctor_id")
        return rows.filter(Q(department=value) | Q(pk__in=linked))

    def in_state(self, rows: QuerySet[models.Doctor], _name: str, value: str) -> QuerySet[models.Doctor]:
        """Return doctors who practise in the state, each once."""
        there = models.PracticeLocation.objects.filter(state=value.upper()).values("doctor_id")
        return rows.filter(pk__in=there)


class DoctorSearchFilter(Filters):
    """Filters of `/api/doctors/search/`."""

    q = filters.CharFilter(
        method="search_words",
        required=True,
        max_length=search.LONGEST_QUERY,
        validators=[search.validate_query],
        label="Words: each begins one of the doctor's names, specialties, credential, school, biography, or the NPI",
    )

    class Meta:
        model = models.Doctor
        fields = ("is_active",)

    def search_words(self, rows: QuerySet[models.Doctor], _name: str, value: str) -> QuerySet[models.Doctor]:
        """Return the doctors whom the words describe, the best match first."""
        return search.search(rows, value)


class DepartmentFilter(Filters):
    """Filters of `/api/departments/`."""

    search = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Part of the name")
    ordering = Ordering(fields=("id", "code", "name"))

    class Meta:
        model = models.Department
        fields = ("code", "name", "head", "is_active")


class SpecialtyFilter(Filters):
    """Filters of `/api/specialties/`."""

    search = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Part of the name")
    ordering = Ordering(fields=("id", "name"))

    class Meta:
        model = models.Specialty
        fields = ("name",)


class DoctorProfileFilter(Filters):
    """Filters of `/api/profiles/`."""

    class Meta:
        model = models.DoctorProfile
        fields = ("doctor", "accepts_new_patients")


class PracticeLocationFilter(Filters):
    """Filters of `/api/practice-locations/`."""

    ordering = Ordering(fields=("id", "city", "state", "zip"))

    class Meta:
        model = models.PracticeLocation
        fields = ("doctor", "adrs_id", "city", "state", "zip", "phone")


class PatientFilter(Filters):
    """Filters of `/api/patients/`."""

    ordering = Ordering(fields=("id", "last_name", "date_of_birth"))

    class Meta:
        model = models.Patient
        fields = ("last_name", "email", "date_of_birth")


class AppointmentFilter(Filters):
    """Filters of `/api/appointments/`; `from` and `to` speak of the start."""

    ordering = Ordering(fields=("id", "start", "status"))

    class Meta:
        model = models.Appointment
        fields = ("doctor", "patient", "status")


# `from` is a keyword of Python and no name for a class attribute.
AppointmentFilter.base_filters["from"] = InstantFilter(field_name="start", lookup_expr="gte")
AppointmentFilter.base_filters["to"] = InstantFilter(field_name="start", lookup_expr="lt")
