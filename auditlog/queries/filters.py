"""
Which events are wanted: a tree of conditions, the same for lists, searches, feeds, statistics and exports.

A tree is a value: made by the readers of query parameters and of search bodies, compiled by
`auditlog.queries.compiler`, written back as JSON by `auditlog.api.search`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

# A tree that is deeper or larger is a mistake or an attack: it is refused before it reaches the database.
DEEPEST = 8
MOST_CONDITIONS = 100
# Of one condition, and of all of a tree.
MOST_VALUES, MOST_VALUES_OF_TREE = 200, 1_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Field(StrEnum):
    """What conditions speak of, by the name that query parameters and bodies use."""

    ACTOR = "actor"
    ACTOR_TYPE = "actor_type"
    ON_BEHALF_OF = "on_behalf_of"
    ACTION = "action"
    CATEGORY = "category"
    MODEL = "model"
    OBJECT = "object_pk"
    OBJECT_REPR = "object_repr"
    SUBJECT = "subject"
    LABEL = "label"
    IP = "ip"
    REQUEST = "request_id"
    SESSION = "session"
    TRACE = "trace_id"
    TRANSACTION = "transaction_id"
    REASON = "reason"


# Those of which a beginning may be given.
WITH_PREFIX: Final = frozenset({Field.ACTION, Field.REASON, Field.MODEL, Field.OBJECT_REPR})


class Unset:
    """No value was given, not even null."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


@dataclass(frozen=True, slots=True)
class Both:
    """All of the parts; every event where there is none."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the parts; no event where there is none."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The events that the part does not choose, also those of which it cannot be said."""

    part: Filter


@dataclass(frozen=True, slots=True)
class Is:
    """The field has one of the values; a field of several values (subjects, labels) has one in common with them."""

    field: Field
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartsWith:
    """The field begins like this."""

    field: Field
    prefix: str


@dataclass(frozen=True, slots=True)
class Within:
    """The client's address is in the network."""

    network: Network


@dataclass(frozen=True, slots=True)
class Changed:
    """The event changed this field, from one of the old values to one of the new ones where these are given."""

    field: str
    old: tuple[Any, ...] | Unset = UNSET
    new: tuple[Any, ...] | Unset = UNSET


@dataclass(frozen=True, slots=True)
class Text:
    """Every word begins a word of what the event calls its object, its actor, its reason, action or model."""

    words: tuple[str, ...]


Filter = Both | Either | Not | Is | StartsWith | Within | Changed | Text
EVERYTHING: Final = Both()


def conjoined(*parts: Filter) -> Filter:
    """Return the tree that asks for all of these; nested conjunctions become one."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, Both) else (part,)))
    return flat[0] if len(flat) == 1 else Both(flat)


def conditions(tree: Filter) -> Iterator[Filter]:
    """Yield the conditions of a tree, without what holds them together."""
    match tree:
        case Both(parts) | Either(parts):
            for part in parts:
                yield from conditions(part)
        case Not(part):
            yield from conditions(part)
        case _:
            yield tree


def values_of(condition: Filter) -> tuple[Any, ...]:
    """Return the values that a condition asks for."""
    match condition:
        case Is(_, values):
            return values
        case Changed(_, old, new):
            return tuple(value for values in (old, new) if not isinstance(values, Unset) for value in values)
        case _:
            return ()


def depth(tree: Filter) -> int:
    """Return how deep a tree is; a condition alone is 1."""
    match tree:
        case Both(parts) | Either(parts):
            return 1 + max(map(depth, parts), default=0)
        case Not(part):
            return 1 + depth(part)
        case _:
            return 1
