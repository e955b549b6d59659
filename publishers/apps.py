"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class PublishersConfig(AppConfig):
    """See the package's docstring."""

    name = "publishers"
    default_auto_field = "django.db.models.BigAutoField"
