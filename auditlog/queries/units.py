"""What one request or one transaction did, in short: to which objects, what, and who."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Max, Min
from django.db.models.functions import Collate, Left

from auditlog.access.rights import Rights
from auditlog.models import AuditLog
from auditlog.queries import compiler, shapes
from auditlog.queries.compiler import Query
from auditlog.queries.events import Page

# Groups of object, action and actor that are told apart.
MOST_GROUPS: Final = 1_000
# Of a sequence: the timeline of the server's write-ahead log.
TIMELINE_CHARACTERS: Final = 8
# Columns that a page must hold for its events to be added up, beyond those that are shown.
NEEDED: Final = frozenset({"shape"})


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
    # Of several names the last one in the order of code points, on every server.
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


def summary(query: Query, rights: Rights, *, page: Page) -> Summary:
    """
    Return what the events of a query add up to; `page` is its first, with the columns NEEDED, in the order of sequence.

    One statement for the sources, and one for the sums where the page is not all there is.
    """
    groups = _groups(query, rights) if page.has_next else list(map(_alone, page.events))
    return summed_up(groups, sources=shapes.sources_of({group["shape"] for group in groups if group["shape"]}))


def _groups(query: Query, rights: Rights) -> Sequence[Mapping[str, Any]]:
    return list(
        compiler.rows(query, rights)
        .order_by()
        .annotate(timeline=Left("sequence", TIMELINE_CHARACTERS))
        .values("shape", "timeline", "model", "object_pk", "action", "actor")
        .annotate(
            count=Count("event_id"),
            object_repr=Max(Collate("object_repr", "C")),
            first_at=Min("occurred_at"),
            last_at=Max("occurred_at"),
            place=Min("sequence"),
        )
        .order_by("place", "model", "object_pk", "action")[: MOST_GROUPS + 1]
    )


def _alone(event: AuditLog) -> Mapping[str, Any]:
    """Return the group of one event."""
    names = ("shape", "model", "object_pk", "action", "actor", "object_repr")
    return {
        **{name: getattr(event, name) for name in names},
        "timeline": event.sequence[:TIMELINE_CHARACTERS],
        "count": 1,
        "first_at": event.occurred_at,
        "last_at": event.occurred_at,
    }


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
        touched = found.objects.setdefault(key, Touched(*key, None))
        names = (touched.object_repr, group["object_repr"])
        touched.object_repr = max((name for name in names if name is not None), default=None)
        touched.actions[group["action"]] += group["count"]
    return found


def _add(known: list[Any], one: Any) -> None:
    if one not in known:
        known.append(one)
