"""
Issues, verifies and revokes API keys: `<prefix>.<secret>`, of which only the secret's SHA-256 is stored.

Each key that is issued or revoked is a security event, which commits together with its row.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router, transaction

from auditlog import context
from auditlog.access.scopes import Scope
from auditlog.capture.messages import append_system
from auditlog.models import ApiKey
from auditlog.vocabulary import Action, Category

PREFIX_BYTES = 6
SECRET_BYTES = 32
# Before the names of a key's columns where they are read with its user.
KEY_COLUMN = "audit_key_"
# Index: the unique one of `prefix`, and the primary key of users.
USABLE = """
SELECT u.*, {columns} FROM "{keys}" k JOIN "{users}" u ON u."{user_id}" = k.user_id
WHERE k.prefix = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %s) AND u."{is_active}"
"""
KEY = re.compile(r"(?P<prefix>[0-9a-f]{12})\.(?P<secret>[A-Za-z0-9_-]{43})")


def issue(
    *, user: Any, name: str, expires_at: datetime | None = None, scopes: Iterable[Scope] = (), reason: str = ""
) -> str:
    """
    Make a key for a user and return it in plain text: the only time that anybody sees it.

    `scopes` are what it may do of what its user may; none: everything.
    """
    prefix, secret = secrets.token_hex(PREFIX_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    alias = router.db_for_write(ApiKey)
    with transaction.atomic(using=alias):
        key = ApiKey.objects.using(alias).create(
            user=user,
            name=name,
            prefix=prefix,
            secret_sha256=_digest(secret),
            expires_at=expires_at,
            scopes=sorted(scopes),
        )
        _tell(Action.API_KEY_ISSUED, key, using=alias, reason=reason)
    return f"{prefix}.{secret}"


def verify(key: str, *, now: datetime) -> ApiKey | None:
    """Return the row of a key that is right, not revoked, not expired, and whose user is active; None otherwise."""
    parts = KEY.fullmatch(key)
    if parts is None:
        return None
    users = get_user_model()._base_manager.raw(_usable(), [parts["prefix"], now])
    row = next(map(_of_user, users), None)
    stored = row.secret_sha256 if row is not None else _digest("")
    return row if hmac.compare_digest(stored, _digest(parts["secret"])) else None


def revoke(*, prefix: str, now: datetime, reason: str = "") -> bool:
    """Make a key useless; false where there is none with this prefix, true also where it was revoked before."""
    alias = router.db_for_write(ApiKey)
    with transaction.atomic(using=alias):
        # Whoever comes second waits here, and finds it revoked.
        key = ApiKey.objects.using(alias).select_for_update().filter(prefix=prefix).first()
        if key is not None and key.revoked_at is None:
            key.revoked_at = now
            key.save(update_fields=["revoked_at"])
            _tell(Action.API_KEY_REVOKED, key, using=alias, reason=reason)
    return key is not None


def note_removal(*, instance: ApiKey, using: str, **_signal: Any) -> None:
    """Tell that a key ends with its row: deleted by itself, or together with its user."""
    if instance.revoked_at is None:
        _tell(Action.API_KEY_REVOKED, instance, using=using, reason=context.current().reason or "")


@cache
def _usable() -> str:
    """Return the text of USABLE: written by Django for each request, it would take longer than to execute it."""
    users = get_user_model()._meta
    columns = ", ".join(f'k."{field.column}" AS {KEY_COLUMN}{field.attname}' for field in ApiKey._meta.concrete_fields)
    return USABLE.format(
        columns=columns,
        keys=ApiKey._meta.db_table,
        users=users.db_table,
        user_id=users.pk.column,
        is_active=users.get_field("is_active").column,
    )


def _of_user(user: Any) -> ApiKey:
    """Return the key whose columns were read with its user."""
    names = [field.attname for field in ApiKey._meta.concrete_fields]
    key = ApiKey.from_db(user._state.db, names, [getattr(user, f"{KEY_COLUMN}{name}") for name in names])
    key.user = user
    return key


def _tell(action: Action, key: ApiKey, *, using: str, reason: str) -> None:
    about = {
        "prefix": key.prefix,
        "name": key.name,
        "user": key.user.get_username(),
        "user_id": str(key.user_id),
        "scopes": list(key.scopes),
        "expires_at": key.expires_at and key.expires_at.isoformat(),
    }
    append_system(connections[using], action=action, category=Category.SECURITY, data={"api_key": about}, reason=reason)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
