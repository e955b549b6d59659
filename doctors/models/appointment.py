"""When a doctor sees a patient."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from doctors.models.doctor import Doctor
from doctors.models.patient import Patient


class AppointmentStatus(models.TextChoices):
    """Where an appointment stands."""

    SCHEDULED = "scheduled", "scheduled"
    CONFIRMED = "confirmed", "confirmed"
    COMPLETED = "completed", "completed"
    CANCELLED = "cancelled", "cancelled"
    NO_SHOW = "no_show", "patient did not come"


class Appointment(models.Model):
    """A doctor's time for a patient, from `start` to before `end`."""

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="appointments")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="appointments")
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=12, choices=AppointmentStatus.choices, default=AppointmentStatus.SCHEDULED)
    reason = models.CharField(max_length=500, blank=True)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["doctor", "start"], name="doctors_appointment_of_doctor")]
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="doctors_appointment_ends_after_start"),
            models.CheckConstraint(
                condition=Q(status__in=AppointmentStatus.values), name="doctors_appointment_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} ({self.status})"
