"""The Django application: connects capture to what is registered once all models are loaded."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import request_started
from django.db import connections
from django.db.models.signals import post_migrate, pre_delete


class AuditlogConfig(AppConfig):
    """Audit trail and change data capture."""

    name = "auditlog"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Audit log"

    def ready(self) -> None:
        """Install the compilers and the receivers."""
        from auditlog import api_keys, checks  # noqa: F401 - the checks register themselves
        from auditlog.access import grants
        from auditlog.api.request_log import note_start
        from auditlog.capture import compilers, receivers
        from auditlog.models import AccessGrant, ApiKey
        from auditlog.registry import auditlog

        auditlog.register_by_settings(self.apps.get_models() if self.apps else ())
        compilers.install()
        receivers.connect_all()
        auditlog.on_change(receivers.follow_registration)
        pre_delete.connect(api_keys.note_removal, sender=ApiKey, dispatch_uid="auditlog.note_removal")
        pre_delete.connect(grants.note_removal, sender=AccessGrant, dispatch_uid="auditlog.note_removal")
        request_started.connect(note_start, dispatch_uid="auditlog.note_start")
        post_migrate.connect(_grant_rights, sender=self, dispatch_uid="auditlog.grant_rights")


def _grant_rights(*, using: str, **_kwargs: Any) -> None:
    from auditlog.roles import grant

    if connections[using].vendor == "postgresql":
        grant(connections[using])
