"""Keeps values of restricted classes from callers who may not see them, and from conditions that would guess them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q

from auditlog.access.rights import Rights
from auditlog.large_values import Reference
from auditlog.models import AuditLog
from auditlog.registry import auditlog

REDACTED_KEY = "$redacted"
# What a membership says beyond the names of its field and its target.
LINK_MEMBERS = ("added", "removed", "through", "labels")
# By column or field name: the class that hides it.
Hidden = Mapping[str, str]


def redacted(event: AuditLog, rights: Rights) -> AuditLog:
    """
    Return the event as a caller may see it: `{"$redacted": class}` in the place of each value that is kept from them.

    A copy, whose `redacted` names what was replaced; the event itself where nothing is. That a hidden value is null is
    hidden too. Columns that were not loaded are not touched, but `classes` is always read: load it with the rows.
    """
    hidden = hidden_names(event, rights)
    if not hidden:
        return event
    shown, found = copy.copy(event), set[str]()
    parts = {"changes": _changes, "before": _image, "after": _image, "m2m": _membership, "data": _data}
    for column, part in parts.items():
        if column in event.__dict__ and event.__dict__[column] is not None:
            setattr(shown, column, part(event.__dict__[column], hidden, found))
    if event.__dict__.get("subjects") and (kind := _hides_subjects(event, hidden)):
        # A list, as the others have one: of the class, and not of how many there are.
        shown.subjects = [f"{REDACTED_KEY}:{kind}"]
        found.add("subjects")
    shown.redacted = tuple(sorted(found))
    return shown


def hidden_names(event: AuditLog, rights: Rights) -> dict[str, str]:
    """Return the columns and fields of an event whose values are kept from a caller, and the class that hides them."""
    hidden = rights.hidden_classes
    if not hidden:
        return {}
    return {name: kind for kind, names in (event.classes or {}).items() if kind in hidden for name in names}


def hidden_field_q(rights: Rights, field: str) -> Q:
    """
    Return the condition "this row hides the value of this field from this caller"; never null, so safe to negate.

    A condition on a value is to be compiled as `~hidden_field_q(…) & condition`: it must not match a row that hides
    the value, whatever the value is.
    """
    found = Q(pk__in=[])
    for kind in sorted(rights.hidden_classes):
        found |= Q(classes__contains={kind: [field]})
    return found


def hidden_subjects_q(rights: Rights) -> Q:
    """
    Return the condition "this row hides from this caller whom it is about"; never null, so safe to negate.

    A row names its subjects out of fields; where one of these is hidden, so is the subject that it names.
    """
    found = Q(pk__in=[])
    for label, fields in _fields_of_subjects().items():
        hides = reduce(or_, (hidden_field_q(rights, name) for name in fields))
        found |= Q(model=label) & hides
    return found


def _hides_subjects(event: AuditLog, hidden: Hidden) -> str | None:
    """Return the class that hides whom an event is about."""
    return next((hidden[name] for name in _fields_of_subjects().get(event.model, ()) if name in hidden), None)


def _fields_of_subjects() -> dict[str, tuple[str, ...]]:
    registrations = (auditlog.find(model._meta.label_lower) for model in auditlog.get_models())
    return {found.label: found.subject_fields for found in registrations if found and found.subject_fields}


def _mark(kind: str) -> dict[str, str]:
    return {REDACTED_KEY: kind}


def _image(image: Mapping[str, Any], hidden: Hidden, found: set[str]) -> dict[str, Any]:
    found.update(image.keys() & hidden.keys())
    return {name: _mark(hidden[name]) if name in hidden else value for name, value in image.items()}


def _changes(changes: Mapping[str, list[Any]], hidden: Hidden, found: set[str]) -> dict[str, Any]:
    found.update(changes.keys() & hidden.keys())
    return {name: [_mark(hidden[name])] * 2 if name in hidden else pair for name, pair in changes.items()}


def _membership(m2m: Mapping[str, Any], hidden: Hidden, found: set[str]) -> dict[str, Any]:
    field = m2m.get("field")
    if isinstance(field, str) and field in hidden:
        found.add(field)
        mark = _mark(hidden[field])
        return {name: mark if name in LINK_MEMBERS and value is not None else value for name, value in m2m.items()}
    links = m2m.get("through")
    if not isinstance(links, dict):
        return dict(m2m)
    through = {pk: _image(own, hidden, found) if isinstance(own, dict) else own for pk, own in links.items()}
    return {**m2m, "through": through}


def _data(data: Any, hidden: Hidden, found: set[str]) -> Any:
    """What is stored apart cannot be looked into: nobody knows here which facts it holds."""
    if Reference.of(data) is None:
        return _facts(data, hidden, found)
    found.add("data")
    return _mark(min(hidden.values()))


def _facts(value: Any, hidden: Hidden, found: set[str]) -> Any:
    """Facts of a domain event go by their names, at any depth."""
    if isinstance(value, list):
        return [_facts(member, hidden, found) for member in value]
    if not isinstance(value, dict):
        return value
    found.update(value.keys() & hidden.keys())
    return {
        name: _mark(hidden[name]) if name in hidden else _facts(inner, hidden, found) for name, inner in value.items()
    }
