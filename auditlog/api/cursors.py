"""Sealed positions in a list of events, good for the caller, the filters and the time that they were made for."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import QueryDict

from auditlog.access.rights import Rights
from auditlog.api import sealing
from auditlog.api.problems import InvalidCursor
from auditlog.queries import events, positions
from auditlog.queries.events import Position
from auditlog.queries.sorting import TIMES, Sort

SALT = "auditlog.api.cursors"
# What a caller may change while walking through pages.
FREE = frozenset({"cursor", "page_size", "fields", "include", "count"})
# A cursor holds no longer key in UTF-8, but leaves it to the event: all of it has to fit into an address.
KEY_BYTES = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk stands: between two events, in its window, among what was stored when it began."""

    position: Position
    since: datetime | None
    until: datetime | None
    pinned: positions.Position | None


def binding(*, path: str, query: QueryDict, body: Any, rights: Rights) -> str:
    """Return a digest of what a cursor is bound to: the question, and who asked it with which rights."""
    filters = sorted((name, sorted(values)) for name, values in query.lists() if name not in FREE)
    asked = sorted((name, value) for name, value in (body or {}).items() if name not in FREE)
    text = json.dumps([path, filters, asked, rights.principal, rights.digest], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def encode(place: Place, *, bound_to: str) -> str:
    """
    Return a cursor; it carries the window and the snapshot, so that neither moves from page to page.

    Instead of a long key it holds none: `decode` reads it from the event.
    """
    position = place.position
    key = position.key.isoformat() if isinstance(position.key, datetime) else position.key
    window = [at.isoformat() if at else None for at in (place.since, place.until)]
    content = [
        bound_to,
        key if len(key.encode()) <= KEY_BYTES else None,
        str(position.event_id),
        position.backwards,
        *window,
        place.pinned and place.pinned.to_text(),
    ]
    return sealing.seal(content, salt=SALT)


def decode(cursor: str, *, bound_to: str, sort: Sort, rights: Rights) -> Place:
    """
    Return the place that a cursor stands for; one statement where the key was too long for it.

    :raises InvalidCursor: if it is forged, garbled, too old, another caller's, or made for other filters; or if the
        event that has the key is gone.
    """
    try:
        content = sealing.unseal(cursor, salt=SALT, max_age=settings.AUDITLOG_CURSOR_SECONDS)
        owner, key, event_id, backwards, since, until, pinned = content
        key, event_id = datetime.fromisoformat(key) if sort.name in TIMES else key, uuid.UUID(event_id)
        lower, upper = (datetime.fromisoformat(at) if at else None for at in (since, until))
        snapshot = pinned and positions.Position.from_text(pinned)
    # Sealed nowhere else, or by another version of this service.
    except (ValueError, TypeError, AttributeError) as exc:
        raise InvalidCursor from exc
    if owner != bound_to:
        raise InvalidCursor
    if key is None and (key := events.key(event_id, rights, sort=sort)) is None:
        raise InvalidCursor
    return Place(Position(key, event_id, backwards), lower, upper, snapshot)
