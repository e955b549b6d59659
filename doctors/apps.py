"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class DoctorsConfig(AppConfig):
    """See the package's docstring."""

    name = "doctors"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what is audited, and connect the receivers."""
        from doctors import audit, receivers

        audit.register()
        receivers.connect_all()
