"""The Django application; its tables are made without migrations."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """See the package's docstring."""

    name = "tests.faults.shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register all but the writers' own marks."""
        from auditlog.registry import auditlog
        from tests.faults.shop import models

        for model in (models.Counter, models.Tag, models.Item, models.Entry):
            auditlog.register(model)
