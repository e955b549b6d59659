"""The Django application; its tables are made without migrations."""

from __future__ import annotations

from django.apps import AppConfig


class BenchConfig(AppConfig):
    """See the package's docstring."""

    name = "bench"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the audited ones of the models."""
        from auditlog.registry import auditlog
        from bench import models

        auditlog.register(models.Audited, mask_fields=["tax_id"])
        auditlog.register(models.LoneAudited)
