"""Sealed places in the feed, good for the caller and the filters that they were made for."""

from __future__ import annotations

import hashlib
import json
import uuid

from django.http import QueryDict

from auditlog.api import sealing
from auditlog.api.problems import InvalidCursor
from auditlog.queries.feed import Place
from auditlog.queries.positions import Position

SALT = "auditlog.api.feed_cursors"
# Partitions of the audit log are removed after longer: nobody goes on behind events that are gone.
LIFETIME_SECONDS = 35 * 86_400
# What a caller may change from one answer to the next.
FREE = frozenset({"after", "wait", "limit", "fields", "include"})


def binding(query: QueryDict, *, principal: str) -> str:
    """Return a digest of what a cursor is bound to. Rights may change meanwhile: they apply to what comes."""
    filters = sorted((name, sorted(values)) for name, values in query.lists() if name not in FREE)
    return hashlib.sha256(json.dumps([filters, principal]).encode()).hexdigest()


def encode(place: Place, *, bound_to: str) -> str:
    """Return a cursor."""
    late_event = place.late_event and str(place.late_event)
    content = [bound_to, place.seen.to_text(), list(place.turn), late_event]
    return sealing.seal(content, salt=SALT)


def decode(cursor: str, *, bound_to: str) -> Place:
    """
    Return the place that a cursor stands for.

    :raises InvalidCursor: if it is forged, garbled, too old, another caller's, or made for other filters.
    """
    try:
        owner, seen, turn, late_event = sealing.unseal(cursor, salt=SALT, max_age=LIFETIME_SECONDS)
        topic, partition = turn
        place = Place(Position.from_text(seen), (topic, partition), late_event and uuid.UUID(late_event))
    # Sealed nowhere else, or by another version of this service.
    except (ValueError, TypeError, AttributeError) as exc:
        raise InvalidCursor from exc
    if owner != bound_to:
        raise InvalidCursor
    return place
