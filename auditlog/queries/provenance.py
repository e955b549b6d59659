"""Who set the values of an object: each value of an image beside the event that set it, or why there is none. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from auditlog import exact_json
from auditlog.large_values import Reference
from auditlog.vocabulary import Action


class Origin(StrEnum):
    """Where a value comes from."""

    EVENT = "event"  # the event that is named set it
    BEFORE_THE_LOG = "before_the_log"  # the object is older than its log, and no event ever set the field
    UNRECORDED = "unrecorded"  # something else put it over what events set: a migration, a write past the audit
    UNSEEN = "unseen"  # no event among those that the caller may see: whether another one did is not told


@dataclass(frozen=True, slots=True)
class Deed:
    """An event, as answers name it: who did what, when and why."""

    event_id: UUID
    sequence: str
    occurred_at: datetime
    action: str
    actor: Mapping[str, Any] | None
    reason: str | None
    request_id: str | None
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """The last event that is known to have set a field, and the value that it gave."""

    deed: Deed
    value: Any
    is_masked: bool = False


@dataclass(frozen=True, slots=True)
class Birth:
    """
    The event that the present life of an object begins with, and the columns that it had then.

    The last one that created it or deleted it: after a delete without a create, nothing is left of what was set before.
    """

    deed: Deed
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Image:
    """A row as an event shows it; `hidden` are columns that are not for the caller."""

    columns: Mapping[str, Any]
    masked: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    # Column -> field name, where they differ.
    fields: Mapping[str, str] | None = None

    def is_opaque(self, column: str, value: Any) -> bool:
        """Tell whether a value says nothing when it is compared. A mask leaves null as it is."""
        return column in self.hidden or (column in self.masked and value is not None)

    def items(self) -> Iterator[tuple[str, str, Any]]:
        """Yield (field name, column, value)."""
        for column, value in self.columns.items():
            yield (self.fields or {}).get(column, column), column, value


@dataclass(frozen=True, slots=True)
class Held:
    """A value that an object has, and who set it."""

    column: str
    value: Any
    origin: Origin
    deed: Deed | None = None
    is_opaque: bool = False


def held(
    image: Image, *, settings: Mapping[str, Setting], birth: Birth | None, is_partial: bool = False
) -> dict[str, Held]:
    """
    Return the values of an image by field name, each with the event that set it.

    `settings` has the last event that set a field, by field name; those before `birth` belong to an object that had
    the same key and is gone. An event is named only where it gave the very value: what a raw write or a migration put
    over it later was not set by it. `is_partial`: the object may have events that the caller does not see.
    """
    found = {
        field: _held(column, value, settings.get(field), birth, is_opaque=image.is_opaque(column, value))
        for field, column, value in image.items()
    }
    return {field: _unseen(value) for field, value in found.items()} if is_partial else found


def same(one: Any, other: Any) -> bool:
    """
    Tell whether two values of a column may be the same value.

    A large value stands for itself in one event and is referred to in another. The text that nested JSON had is not
    kept, so that a reference to it stands for any.
    """
    references = Reference.of(one), Reference.of(other)
    match references:
        case (None, Reference() as reference):
            return _may_stand_for(reference, one)
        case (Reference() as reference, None):
            return _may_stand_for(reference, other)
        case _:
            return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _held(column: str, value: Any, setting: Setting | None, birth: Birth | None, *, is_opaque: bool) -> Held:
    origin, deed = _origin(column, value, setting, birth, is_opaque=is_opaque)
    return Held(column, value, origin, deed, is_opaque)


def _unseen(value: Held) -> Held:
    return value if value.deed else replace(value, origin=Origin.UNSEEN)


def _origin(
    column: str, value: Any, setting: Setting | None, birth: Birth | None, *, is_opaque: bool
) -> tuple[Origin, Deed | None]:
    if setting is not None and (birth is None or setting.deed.sequence >= birth.deed.sequence):
        # Masked values cannot be compared: the key of their hashes, or the mask, may have changed.
        is_given = is_opaque or setting.is_masked or same(setting.value, value)
        if is_given and setting.deed.action != Action.DELETE:
            return Origin.EVENT, setting.deed
        return Origin.UNRECORDED, None
    if birth is None:
        return (Origin.BEFORE_THE_LOG if setting is None else Origin.UNRECORDED), None
    # What was created without a value is no change of the create event.
    if value is None and column in birth.columns:
        return Origin.EVENT, birth.deed
    return Origin.UNRECORDED, None


def _may_stand_for(reference: Reference, value: Any) -> bool:
    if isinstance(value, dict | list):
        return True
    return reference.stands_for(exact_json.encode(value)) or reference.stands_for(json.dumps(value).encode())
