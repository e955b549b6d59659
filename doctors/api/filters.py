"""What the lists can be narrowed to."""

from __future__ import annotations

from typing import Any

import django_filters as filters
from django.db.models import Q, QuerySet

from doctors import models, search


class DoctorFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/doctors/`."""

    search = filters.CharFilter(method="search_names", label="Part of the first or last name")
    specialty = filters.ModelChoiceFilter(field_name="specialties", queryset=models.Specialty.objects.all())
    # The department a doctor belongs to, or any that the doctor is affiliated with.
    department = filters.ModelChoiceFilter(method="in_department", queryset=models.Department.objects.all())
    hired_from = filters.DateFilter(field_name="hire_date", lookup_expr="gte")
    hired_to = filters.DateFilter(field_name="hire_date", lookup_expr="lte")
    state = filters.CharFilter(method="in_state", max_length=2, label="State of a practice location")
    ordering = filters.OrderingFilter(fields=("id", "last_name", "hire_date", "updated_at"))

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


class DoctorSearchFilter(filters.FilterSet):  # type: ignore[misc]
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


class DepartmentFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/departments/`."""

    search = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Part of the name")
    ordering = filters.OrderingFilter(fields=("id", "code", "name"))

    class Meta:
        model = models.Department
        fields = ("code", "name", "head", "is_active")


class SpecialtyFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/specialties/`."""

    search = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Part of the name")
    ordering = filters.OrderingFilter(fields=("id", "name"))

    class Meta:
        model = models.Specialty
        fields = ("name",)


class DoctorProfileFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/profiles/`."""

    class Meta:
        model = models.DoctorProfile
        fields = ("doctor", "accepts_new_patients")


class PracticeLocationFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/practice-locations/`."""

    ordering = filters.OrderingFilter(fields=("id", "city", "state", "zip"))

    class Meta:
        model = models.PracticeLocation
        fields = ("doctor", "adrs_id", "city", "state", "zip", "phone")


class PatientFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/patients/`."""

    ordering = filters.OrderingFilter(fields=("id", "last_name", "date_of_birth"))

    class Meta:
        model = models.Patient
        fields = ("last_name", "email", "date_of_birth")


class AppointmentFilter(filters.FilterSet):  # type: ignore[misc]
    """Filters of `/api/appointments/`; `from` and `to` speak of the start."""

    ordering = filters.OrderingFilter(fields=("id", "start", "status"))

    class Meta:
        model = models.Appointment
        fields = ("doctor", "patient", "status")


# `from` is a keyword of Python and no name for a class attribute.
AppointmentFilter.base_filters["from"] = filters.IsoDateTimeFilter(field_name="start", lookup_expr="gte")
AppointmentFilter.base_filters["to"] = filters.IsoDateTimeFilter(field_name="start", lookup_expr="lt")
