"""Signed positions in a list of events, good for the caller and the filters that they were made for."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import datetime
from typing import Any

from django.core import signing
from django.http import QueryDict

from auditlog.api.problems import InvalidCursor
from auditlog.queries.events import Order, Position

SALT = "auditlog.api.cursors"
# What a caller may change while walking through pages.
FREE = frozenset({"cursor", "page_size"})


def binding(*, path: str, query: QueryDict, principal: Any) -> str:
    """Return a digest of what a cursor is bound to."""
    filters = sorted((name, sorted(values)) for name, values in query.lists() if name not in FREE)
    return hashlib.sha256(json.dumps([path, filters, str(principal)]).encode()).hexdigest()


def encode(position: Position, *, bound_to: str, since: datetime | None, until: datetime | None) -> str:
    """Return a cursor; it carries the window, so that a default one does not move from page to page."""
    key = position.key.isoformat() if isinstance(position.key, datetime) else position.key
    window = [at.isoformat() if at else None for at in (since, until)]
    return signing.dumps([bound_to, key, str(position.event_id), position.newer, *window], salt=SALT)


def decode(cursor: str, *, bound_to: str, order: Order) -> tuple[Position, datetime | None, datetime | None]:
    """
    Return the position and the window of a cursor.

    :raises InvalidCursor: if it is forged, garbled, another caller's, or made for other filters.
    """
    try:
        owner, key, event_id, newer, since, until = signing.loads(cursor, salt=SALT)
        place = datetime.fromisoformat(key) if order == Order.TIME else key
        window = [datetime.fromisoformat(at) if at else None for at in (since, until)]
        position = Position(place, uuid.UUID(event_id), newer)
    # After the signature: a cursor of another version of this service.
    except (signing.BadSignature, ValueError, TypeError, AttributeError) as exc:
        raise InvalidCursor from exc
    if owner != bound_to:
        raise InvalidCursor
    return position, window[0], window[1]
