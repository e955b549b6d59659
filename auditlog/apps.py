"""The Django application: connects what was registered when all models are loaded."""

from __future__ import annotations

from django.apps import AppConfig


class AuditlogConfig(AppConfig):
    """Audit trail and change data capture."""

    name = "auditlog"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Audit log"
