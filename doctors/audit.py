"""Which tables of this domain are audited, and what of them is masked."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from auditlog.registry import auditlog
from doctors import models


def register() -> None:
    """Register the models; called once when all of them are loaded."""
    auditlog.register(models.Doctor, mask_fields=["tax_id"], m2m_labels=True)
    auditlog.register(models.Department)
    auditlog.register(models.Specialty)
    auditlog.register(models.DoctorProfile)
    auditlog.register(models.PracticeLocation)
    auditlog.register(models.Patient, mask_fields=["ssn"])
    auditlog.register(models.Appointment)
    # A login is no change of the account.
    auditlog.register(get_user_model(), exclude_fields=["last_login"], m2m_fields={"groups", "user_permissions"})
