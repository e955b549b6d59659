"""Sends the read model to the `audit` alias and everything else away from it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

READ_MODEL_ALIAS = "audit"
# Tables of the read model, by "app_label.model_name"; other applications' tables beside it carry the attribute below.
READ_MODEL_TABLES = frozenset(
    {
        *("auditlog.auditlog", "auditlog.eventshape", "auditlog.contentchunk", "auditlog.consumeroffset"),
        "auditlog.lateevent",
        *("consumers.deadletter", "consumers.reconciledminute", "consumers.reconciliationprogress"),
        "consumers.chaingap",
        *("auditlog.rollup", "auditlog.rollupbacklog"),
    }
)


class AuditRouter:
    """Routes by table: the read model may live on a server of its own."""

    def db_for_read(self, model: type[models.Model], **_hints: Any) -> str | None:
        """Read the read model from its own alias."""
        return READ_MODEL_ALIAS if model._meta.label_lower in READ_MODEL_TABLES and _configured() else None

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        """Write the read model to its own alias."""
        return self.db_for_read(model, **hints)

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        """
        Say where tables are made: the read model on `audit`, the rest elsewhere, all on both where they are one.

        Operations without a model (`RunSQL`) name theirs in `hints={"table": "auditlog.auditlog"}`.
        """
        if not _configured() or one_database():
            return None
        table = hints.get("table") or f"{app_label}.{model_name}"
        return (table in READ_MODEL_TABLES) == (db == READ_MODEL_ALIAS)


def _configured() -> bool:
    return READ_MODEL_ALIAS in settings.DATABASES


def one_database() -> bool:
    """Tell whether the domain and the read model are one physical database."""
    one, other = settings.DATABASES["default"], settings.DATABASES[READ_MODEL_ALIAS]
    return all(one.get(key) == other.get(key) for key in ("HOST", "PORT", "NAME"))
