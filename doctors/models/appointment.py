"""When a doctor sees a patient."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models import F, Func, Q, Value

from auditlog.events import record
from doctors.models.doctor import Doctor
from doctors.models.patient import Patient
from doctors.signals import announce, appointment_booked, appointment_cancelled
from doctors.transition import transition

DOUBLE_BOOKING = "The doctor has another appointment at that time."


class AppointmentStatus(models.TextChoices):
    """Where an appointment stands."""

    SCHEDULED = "scheduled", "scheduled"
    CONFIRMED = "confirmed", "confirmed"
    COMPLETED = "completed", "completed"
    CANCELLED = "cancelled", "cancelled"
    NO_SHOW = "no_show", "patient did not come"


# Those that are still to take place: they hold the doctor's time, and can be cancelled.
PENDING = (AppointmentStatus.SCHEDULED, AppointmentStatus.CONFIRMED)


class AppointmentAction(StrEnum):
    """Domain events of appointments."""

    BOOKED = "booked"  # holds the doctor's time from now on
    CANCELLED = "cancelled"  # gives it back


class AppointmentQuerySet(models.QuerySet[Any]):
    """Appointments."""

    def pending(self) -> Self:
        """Return those that are still to take place."""
        return self.filter(status__in=PENDING)

    def overlapping(self, *, start: datetime, end: datetime) -> Self:
        """Return those that share a moment with the span from `start` to before `end`."""
        return self.filter(start__lt=end, end__gt=start)


class Appointment(models.Model):
    """A doctor's time for a patient, from `start` to before `end`."""

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="appointments")
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="appointments")
    start = models.DateTimeField()
    end = models.DateTimeField()
    status = models.CharField(max_length=12, choices=AppointmentStatus.choices, default=AppointmentStatus.SCHEDULED)
    reason = models.CharField(max_length=500, blank=True)
    cancellation_reason = models.CharField(max_length=500, blank=True, default="", db_default="", editable=False)
    notes = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = models.Manager.from_queryset(AppointmentQuerySet)()

    class Meta:
        indexes = [models.Index(fields=["doctor", "start"], name="doctors_appointment_of_doctor")]
        constraints = [
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="doctors_appointment_ends_after_start"),
            models.CheckConstraint(
                condition=Q(status__in=AppointmentStatus.values), name="doctors_appointment_status_known"
            ),
            # The doctor as a range of one key: equality of plain numbers would need the extension btree_gist.
            ExclusionConstraint(
                name="doctors_appointment_no_double_booking",
                expressions=[
                    (
                        Func(
                            F("doctor"),
                            F("doctor"),
                            Value("[]"),
                            function="int8range",
                            output_field=BigIntegerRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(F("start"), F("end"), function="tstzrange", output_field=DateTimeRangeField()),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                condition=Q(status__in=PENDING),
                violation_error_code="double_booking",
                violation_error_message=DOUBLE_BOOKING,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} ({self.status})"

    def clean(self) -> None:
        """
        Refuse an end before the start by the name of the field.

        :raises ValidationError: before the constraints are asked, which cannot make a range of such times.
        """
        start: datetime | None = self.start
        end: datetime | None = self.end
        if start is not None and end is not None and end <= start:
            raise ValidationError(
                {"end": ValidationError("An appointment ends after it starts.", code="ends_before_start")}
            )

    @classmethod
    def book(
        cls,
        *,
        doctor: Doctor,
        patient: Patient,
        start: datetime,
        end: datetime,
        booked_by: Any = None,
        **details: Any,
    ) -> Appointment:
        """
        Book the doctor's time for the patient; row, event and signal belong to one transaction.

        Locks the doctor, so that bookings of one doctor wait for each other and for a deactivation. `details` are the
        other fields; `booked_by` defaults to who acts in the context.

        :raises ValidationError: if the doctor may not be booked, has no time, or the times are no span of time.
        """
        appointment = cls(doctor=doctor, patient=patient, start=start, end=end, **details)
        appointment.place(booked_by)
        return appointment

    def place(self, booked_by: Any = None) -> None:
        """Book this appointment, which nobody has saved yet: see `book`."""
        self.clean()
        using = router.db_for_write(type(self), instance=self.doctor)
        with transition(actor=booked_by, using=using):
            held = Doctor.objects.using(using).select_for_update(no_key=True).only("is_active").get(pk=self.doctor_id)
            if not held.is_active:
                refusal = ValidationError("The doctor is not active and cannot be booked.", code="inactive_doctor")
                raise ValidationError({"doctor": refusal})
            taken = type(self).objects.using(using).filter(doctor_id=self.doctor_id).pending()
            if taken.overlapping(start=self.start, end=self.end).exists():
                raise ValidationError({"start": ValidationError(DOUBLE_BOOKING, code="double_booking")})
            self.save(using=using)
            times = {"start": self.start.isoformat(), "end": self.end.isoformat()}
            data = {"doctor": self.doctor_id, "patient": self.patient_id, **times}
            record(self, action=AppointmentAction.BOOKED, data=data)
            people = {"patient": self.patient, "doctor": self.doctor}
            announce(appointment_booked, sender=type(self), using=using, appointment=self, **people)

    def cancel(self, cancelled_by: Any = None, reason: str = "") -> bool:
        """
        Give the doctor's time back, and tell whether that changed anything.

        Row, event and signal belong to one transaction. `cancelled_by` defaults to who acts in the context. Safe to
        repeat.

        :raises ValidationError: if the appointment took place, or the patient did not come.
        """
        using = router.db_for_write(type(self), instance=self)
        with transition(actor=cancelled_by, using=using) as actor:
            # The instance may be stale: the row decides, and stays locked until everything is written.
            self.refresh_from_db(using=using, from_queryset=Appointment.objects.select_for_update(no_key=True))
            previous = self.status
            if previous == AppointmentStatus.CANCELLED:
                return False
            if previous not in PENDING:
                raise ValidationError(
                    f"This appointment is over: {self.get_status_display()}.", code="appointment_over"
                )
            self.status, self.cancellation_reason = AppointmentStatus.CANCELLED, reason
            self.save(using=using, update_fields=["status", "cancellation_reason", "updated_at"])
            record(self, action=AppointmentAction.CANCELLED, data={"previous": previous, "reason": reason})
            announce(
                appointment_cancelled,
                sender=type(self),
                using=using,
                appointment=self,
                cancelled_by=actor,
                reason=reason,
            )
        return True
