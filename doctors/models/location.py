"""Where a doctor practises."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from doctors.models.doctor import Doctor


class PracticeLocation(models.Model):
    """An address of a doctor, identified within the doctor by the address id of CMS."""

    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE, related_name="practice_locations")
    adrs_id = models.CharField("CMS address id", max_length=64)
    address_line_1 = models.CharField(max_length=200)
    address_line_2 = models.CharField(max_length=200, blank=True)
    city = models.CharField(max_length=100)
    state = models.CharField(max_length=2)
    zip = models.CharField("ZIP code", max_length=10)
    phone = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["doctor", "adrs_id"], name="doctors_practicelocation_once_a_doctor"),
            models.CheckConstraint(condition=~Q(adrs_id=""), name="doctors_practicelocation_adrs_id_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.address_line_1}, {self.city} {self.state}"
