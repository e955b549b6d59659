"""What the shapes of events say that their rows do not: which field a column belongs to, and where events are from."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from django.apps import apps

from auditlog.models import EventShape

# The events of a model share a few.
KEPT_SHAPES = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """What a shape says for the events that have it."""

    # Column -> field name where these differ.
    fields: Mapping[str, str] = field(default_factory=dict)
    # `source.name` and `source.db`; None where it does not say so.
    source: tuple[str, str] | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the shape that a text describes: members, headers, key."""
        members = _constants(json.loads(text)[0])
        source = _constants(members.get("source") or [])
        return cls(
            fields=dict(_constants(members.get("audit") or []).get("fields") or {}),
            source=(str(source["name"]), str(source["db"])) if {"name", "db"} <= source.keys() else None,
        )


# A shape never changes: none is read twice, until there are too many.
_seen: dict[uuid.UUID, Shape] = {}


def fields_of(shape: uuid.UUID | None, *, model: str) -> Mapping[str, str]:
    """
    Return column -> field name where these differ, as of the event with this shape.

    Events from before shapes were kept, or whose shape is gone, are read with the model as the code has it now, if it
    does.
    """
    known = _stored({shape}) if shape is not None else {}
    return known[shape].fields if shape in known else _registered(model)


def sources_of(shapes: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[str, str]]:
    """Return shape -> (`source.name`, `source.db`) of those that are kept and say so."""
    return {shape: found.source for shape, found in _stored(shapes).items() if found.source is not None}


def _stored(shapes: Collection[uuid.UUID]) -> dict[uuid.UUID, Shape]:
    """Return those shapes that are kept; one statement where this process has not seen all of them."""
    found = {shape: seen for shape in shapes if (seen := _seen.get(shape)) is not None}
    if missing := set(shapes) - found.keys():
        rows = EventShape.objects.filter(id__in=missing).values_list("id", "text")
        read = {shape: Shape.of(text) for shape, text in rows}
        if len(_seen) + len(read) > KEPT_SHAPES:
            _seen.clear()
        _seen.update(read)
        found |= read
    return found


def _constants(entries: list[Any]) -> dict[str, Any]:
    """Return those entries of a shape that have a value of their own."""
    return {entry[0]: entry[1] for entry in entries if not isinstance(entry, str)}


def _registered(model: str) -> Mapping[str, str]:
    try:
        fields = apps.get_model(model)._meta.local_concrete_fields
    except LookupError:
        return {}
    return {str(field.column): field.name for field in fields if field.column != field.name}
