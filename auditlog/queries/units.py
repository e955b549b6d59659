"""What one request or one transaction did, in short: to which objects, what, and who."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Max, Min
from django.db.models.functions import Left

from auditlog.access.rights import Rights
from auditlog.queries import compiler, shapes
from auditlog.queries.compiler import Query

# Groups of object, action and actor that are told apart.
MOST_GROUPS: Final = 1_000
# Of a sequence: the timeline of the server's write-ahead log.
TIMELINE_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Source:
    """Which server numbered the transaction: `source.name` and `source.db` of the events, and the WAL timeline."""

    name: str
    database: str
    timeline: str


@dataclass(slots=True)
class Touched:
    """An object, and what was done to it."""

    model: str
    object_pk: str | None
    object_repr: str | None
    actions: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Summary:
    """What a unit of work did. More than one source: numbers of transactions are unique within a server only."""

    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    actors: list[Mapping[str, Any] | None] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    objects: dict[tuple[str, str | None], Touched] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    is_cut: bool = False


def summary(query: Query, rights: Rights) -> Summary:
    """Return what the events of a query add up to, with two statements."""
    groups = list(
        compiler.rows(query, rights)
        .order_by()
        .annotate(timeline=Left("sequence", TIMELINE_CHARACTERS))
        .values("shape", "timeline", "model", "object_pk", "action", "actor")
        .annotate(
            count=Count("event_id"),
            object_repr=Max("object_repr"),
            first_at=Min("occurred_at"),
            last_at=Max("occurred_at"),
            place=Min("sequence"),
        )
        .order_by("place", "model", "object_pk", "action")[: MOST_GROUPS + 1]
    )
    return summed_up(groups, sources=shapes.sources_of({group["shape"] for group in groups if group["shape"]}))


def summed_up(groups: Iterable[Mapping[str, Any]], *, sources: Mapping[UUID, tuple[str, str]]) -> Summary:
    """Return the sums of groups in their order; of more than MOST_GROUPS the rest is left out, and that is said."""
    found = Summary()
    for number, group in enumerate(groups):
        if number == MOST_GROUPS:
            found.is_cut = True
            break
        found.count += group["count"]
        found.first_at = min(filter(None, (found.first_at, group["first_at"])))
        found.last_at = max(filter(None, (found.last_at, group["last_at"])))
        found.actions[group["action"]] += group["count"]
        _add(found.actors, group["actor"])
        if (source := sources.get(group["shape"])) is not None:
            _add(found.sources, Source(*source, group["timeline"]))
        key = group["model"], group["object_pk"]
        touched = found.objects.setdefault(key, Touched(*key, group["object_repr"]))
        touched.object_repr = touched.object_repr or group["object_repr"]
        touched.actions[group["action"]] += group["count"]
    return found


def _add(known: list[Any], one: Any) -> None:
    if one not in known:
        known.append(one)
