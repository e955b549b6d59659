"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class ConsumersConfig(AppConfig):
    """See the package's docstring."""

    name = "consumers"
    default_auto_field = "django.db.models.BigAutoField"
