"""Searches words in what an event calls its object, its actor, its reason, action and model."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

COLUMNS = ("object_repr", "actor_repr", "reason", "action", "model")


def matching(words: Iterable[str]) -> Q:
    """Return the condition that every word is found."""
    found = Q()
    for word in words:
        anywhere = Q()
        for column in COLUMNS:
            anywhere |= Q(**{f"{column}__icontains": word})
        found &= anywhere
    return found
