"""What the shapes of events say that their rows do not: which field a column belongs to, and where events are from."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from django.apps import apps

from auditlog.models import EventShape

# A shape never changes; the events of a model share a few.
KEPT_SHAPES = 512


def fields_of(shape: uuid.UUID | None, *, model: str) -> Mapping[str, str]:
    """
    Return column -> field name where these differ, as of the event with this shape.

    Events from before shapes were kept, or whose shape is gone, are read with the model as the code has it now, if it
    does.
    """
    if shape is None:
        return _registered(model)
    try:
        return _stored(shape)
    except EventShape.DoesNotExist:
        return _registered(model)


def sources_of(shapes: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[str, str]]:
    """Return shape -> (`source.name`, `source.db`) of those that are kept and say so, with one statement."""
    found: dict[uuid.UUID, tuple[str, str]] = {}
    for shape, text in EventShape.objects.filter(id__in=shapes).values_list("id", "text"):
        source = _constants(_constants(json.loads(text)[0]).get("source") or [])
        if {"name", "db"} <= source.keys():
            found[shape] = (str(source["name"]), str(source["db"]))
    return found


@lru_cache(maxsize=KEPT_SHAPES)
def _stored(shape: uuid.UUID) -> Mapping[str, str]:
    return _fields(EventShape.objects.values_list("text", flat=True).get(id=shape))


def _fields(text: str) -> Mapping[str, str]:
    """Return the member `fields` of `audit` out of the text of a shape: members, headers, key."""
    members, *_others = json.loads(text)
    return dict(_constants(_constants(members).get("audit") or []).get("fields") or {})


def _constants(entries: list[Any]) -> dict[str, Any]:
    """Return those entries of a shape that have a value of their own."""
    return {entry[0]: entry[1] for entry in entries if not isinstance(entry, str)}


def _registered(model: str) -> Mapping[str, str]:
    try:
        fields = apps.get_model(model)._meta.local_concrete_fields
    except LookupError:
        return {}
    return {str(field.column): field.name for field in fields if field.column != field.name}
