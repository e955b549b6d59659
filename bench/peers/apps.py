"""The Django applications of the peers' process."""

from __future__ import annotations

from django.apps import AppConfig


class ShapesConfig(AppConfig):
    """`bench.models` without the application of the bench, which registers models with our library."""

    name = "bench"
    default_auto_field = "django.db.models.BigAutoField"


class PeersConfig(AppConfig):
    """The models that the peers audit."""

    name = "bench.peers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register a model with django-auditlog, with what ours has: the mask and the links."""
        from auditlog.registry import auditlog
        from bench.peers.models import WithDjangoAuditlog

        auditlog.register(WithDjangoAuditlog, mask_fields=["tax_id"], m2m_fields={"specialties"})
