"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class PublishersConfig(AppConfig):
    """See the package's docstring."""

    name = "publishers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Wake the relay after each commit that wrote to the outbox."""
        from auditlog.signals import outbox_written
        from publishers.wake import waker

        outbox_written.connect(waker.wake, dispatch_uid="publishers.wake")
