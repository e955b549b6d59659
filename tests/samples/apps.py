"""The Django application; its tables are made without migrations."""

from __future__ import annotations

from django.apps import AppConfig


class SamplesConfig(AppConfig):
    """See the package's docstring."""

    name = "tests.samples"
    label = "samples"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register all but Unwatched."""
        from auditlog.registry import auditlog
        from tests.samples import models

        auditlog.register(models.Shelf)
        auditlog.register(models.Genre)
        auditlog.register(
            models.Book, exclude_fields=["draft"], mask_fields={"secret": "full", "code": "hash"}, m2m_labels=True
        )
        auditlog.register(models.Comic)
        auditlog.register(models.Reader)
        auditlog.register(models.OrderLine)
        auditlog.register(models.Ticket)
        auditlog.register(models.Country)
        auditlog.register(models.Awkward)
        auditlog.register(models.Measured)
        auditlog.register(models.Guarded, bulk="raise")
        auditlog.register(models.Manuscript, mask_fields={"secret": "full", "code": "hash"})
        for model in (
            models.Form,
            models.Remark,
            models.Pamphlet,
            models.Edition,
            models.IndexCard,
            models.Stamp,
            models.Author,
            models.Receipt,
            models.Club,
        ):
            auditlog.register(model)
