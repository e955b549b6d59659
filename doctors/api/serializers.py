"""What the API shows of the domain, and accepts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from doctors import models
from doctors.api.strictness import StrictModelSerializer, StrictSerializer
from doctors.models.fields import normalized_email


class DepartmentSerializer(StrictModelSerializer):
    """A department."""

    class Meta:
        model = models.Department
        fields = ("id", "code", "name", "head", "is_active")


class SpecialtySerializer(StrictModelSerializer):
    """A specialty."""

    class Meta:
        model = models.Specialty
        fields = ("id", "name", "description")


class DoctorSerializer(StrictModelSerializer):
    """A doctor. The tax id goes in and never comes out; the photo is uploaded in the admin."""

    class Meta:
        model = models.Doctor
        fields = (
            "id",
            "first_name",
            "middle_name",
            "last_name",
            "suffix",
            "credential",
            "gender",
            "email",
            "slug",
            "license_number",
            "npi",
            "phone",
            "bio",
            "photo",
            "is_active",
            "medical_school",
            "graduation_year",
            "hire_date",
            "consultation_fee",
            "tax_id",
            "search_tags",
            "department",
            "departments",
            "specialties",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("slug", "photo", "search_tags", "created_at", "updated_at")
        extra_kwargs = {"tax_id": {"write_only": True}}

    def update(self, instance: models.Doctor, validated_data: dict[str, Any]) -> models.Doctor:
        """Change the doctor; activation and deactivation are transitions, whichever way they are asked for."""
        is_active = validated_data.pop("is_active", instance.is_active)
        if validated_data or is_active == instance.is_active:
            super().update(instance, validated_data)
        if is_active != instance.is_active:
            instance.activate() if is_active else instance.deactivate()
        return instance

    def validate_email(self, value: str | None) -> str | None:
        """Return the address in lower case; an empty one is none, because addresses are unique."""
        return (normalized_email(value) or None) if value else None

    def validate_npi(self, value: str | None) -> str | None:
        """Return the identifier; an empty one is none, because identifiers are unique."""
        return value or None

    def validate_license_number(self, value: str | None) -> str | None:
        """Return the licence number; an empty one is none, because licences are unique."""
        return value or None


class DoctorProfileSerializer(StrictModelSerializer):
    """What a doctor tells patients."""

    class Meta:
        model = models.DoctorProfile
        fields = ("id", "doctor", "languages", "website", "statement", "accepts_new_patients")


class PracticeLocationSerializer(StrictModelSerializer):
    """An address of a doctor."""

    class Meta:
        model = models.PracticeLocation
        fields = ("id", "doctor", "adrs_id", "address_line_1", "address_line_2", "city", "state", "zip", "phone")


class PatientSerializer(StrictModelSerializer):
    """A patient. The social security number goes in and never comes out."""

    class Meta:
        model = models.Patient
        fields = (
            "id",
            "first_name",
            "last_name",
            "date_of_birth",
            "email",
            "phone",
            "ssn",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("created_at", "updated_at")
        extra_kwargs = {"ssn": {"write_only": True}}


class AppointmentSerializer(StrictModelSerializer):
    """A doctor's time for a patient."""

    class Meta:
        model = models.Appointment
        fields = (
            "id",
            "doctor",
            "patient",
            "start",
            "end",
            "status",
            "reason",
            "cancellation_reason",
            "notes",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("cancellation_reason", "created_at", "updated_at")

    def validate_status(self, value: str) -> str:
        """Return the status; what is booked is still to take place."""
        if self.instance is None and value not in models.PENDING:
            raise serializers.ValidationError("A new appointment is still to take place.", code="not_pending")
        return value

    def validate(self, attrs: Any) -> Any:
        """Return the values if the appointment ends after it starts."""
        start = attrs.get("start", getattr(self.instance, "start", None))
        end = attrs.get("end", getattr(self.instance, "end", None))
        if start is not None and end is not None and end <= start:
            raise serializers.ValidationError({"end": "An appointment ends after it starts."}, code="ends_before_start")
        return super().validate(attrs)

    def create(self, validated_data: dict[str, Any]) -> models.Appointment:
        """Book the appointment."""
        return models.Appointment.book(**validated_data)

    def update(self, instance: models.Appointment, validated_data: dict[str, Any]) -> models.Appointment:
        """Change the appointment; a cancellation is one, whichever way it is asked for."""
        cancels = validated_data.get("status") == models.AppointmentStatus.CANCELLED
        if not (cancels and instance.status in models.PENDING):
            super().update(instance, validated_data)
            return instance
        super().update(instance, {**validated_data, "status": instance.status})
        instance.cancel()
        return instance


class CancellationSerializer(StrictSerializer):
    """Why an appointment is cancelled."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
