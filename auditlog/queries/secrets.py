"""Reads when the keys of masks were made; the keys themselves nobody may read."""

from __future__ import annotations

from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

MADE_AT = "SELECT created_at FROM auditlog_secret WHERE name = 'mask'"


def mask_key_made_at(connection: BaseDatabaseWrapper) -> datetime | None:
    """Return when the present key of hashed masks was made; whoever replaces it has to set `created_at`."""
    with connection.cursor() as cursor:
        cursor.execute(MADE_AT)
        row = cursor.fetchone()
        return None if row is None else row[0]
