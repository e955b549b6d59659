"""Issues, verifies and revokes API keys: `<prefix>.<secret>`, of which only the secret's SHA-256 is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q

from auditlog.access.scopes import Scope
from auditlog.models import ApiKey

PREFIX_BYTES = 6
SECRET_BYTES = 32
KEY = re.compile(r"(?P<prefix>[0-9a-f]{12})\.(?P<secret>[A-Za-z0-9_-]{43})")


def issue(*, user: Any, name: str, expires_at: datetime | None = None, scopes: Iterable[Scope] = ()) -> str:
    """
    Make a key for a user and return it in plain text: the only time that anybody sees it.

    `scopes` are what it may do of what its user may; none: everything.
    """
    prefix, secret = secrets.token_hex(PREFIX_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    ApiKey.objects.create(
        user=user,
        name=name,
        prefix=prefix,
        secret_sha256=_digest(secret),
        expires_at=expires_at,
        scopes=sorted(scopes),
    )
    return f"{prefix}.{secret}"


def verify(key: str, *, now: datetime) -> ApiKey | None:
    """Return the row of a key that is right, not revoked, not expired, and whose user is active; None otherwise."""
    parts = KEY.fullmatch(key)
    if parts is None:
        return None
    usable = Q(expires_at=None) | Q(expires_at__gt=now)
    found = ApiKey.objects.select_related("user").filter(
        usable, prefix=parts["prefix"], revoked_at=None, user__is_active=True
    )
    row = found.first()
    stored = row.secret_sha256 if row is not None else _digest("")
    return row if hmac.compare_digest(stored, _digest(parts["secret"])) else None


def revoke(*, prefix: str, now: datetime) -> bool:
    """Make a key useless; false where there is none with this prefix, true also where it was revoked before."""
    ApiKey.objects.filter(prefix=prefix, revoked_at=None).update(revoked_at=now)
    return ApiKey.objects.filter(prefix=prefix).exists()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
