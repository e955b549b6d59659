"""Keeps values of restricted classes from callers who may not see them, and from conditions that would guess them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from django.db.models import Q

from auditlog.access.rights import Rights
from auditlog.large_values import Reference
from auditlog.models import AuditLog
from auditlog.vocabulary import Naming

REDACTED_KEY = "$redacted"
# What a membership says beyond the names of its field and its target.
LINK_MEMBERS = ("added", "removed", "through", "labels")
# Columns that hold what the values of fields say, and the names under which these are hidden.
NAMINGS = {"subjects": Naming.SUBJECTS, "labels": Naming.LABELS}
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
    for column, name in NAMINGS.items():
        if event.__dict__.get(column) and name in hidden:
            # A list, as the others have one: of the class, and not of how many there are.
            setattr(shown, column, [f"{REDACTED_KEY}:{hidden[name]}"])
            found.add(column)
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

    A field, or what the row names out of fields: a `Naming`. The row says itself which class hides it: registrations
    may have changed since. A condition on a value is to be compiled as `~hidden_field_q(…) & condition`: it must not
    match a row that hides the value, whatever the value is.
    """
    found = Q(pk__in=[])
    for kind in sorted(rights.hidden_classes):
        found |= Q(classes__contains={kind: [field]})
    return found


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
