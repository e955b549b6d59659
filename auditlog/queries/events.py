"""Reads the events of the read model in pages that neither skip nor repeat a row while others are stored."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from auditlog.access.rights import Rights
from auditlog.models import AuditLog
from auditlog.partitions import EVENT_ID_SLACK, lowest_id
from auditlog.queries import compiler
from auditlog.queries.compiler import Query
from auditlog.queries.sorting import COLUMNS, TIME, Key, Sort
from auditlog.queries.stretches import stretches

# The list of events leaves out what only the single event shows: the whole row twice can be large.
DETAIL_COLUMNS = frozenset(
    {
        *("before", "after", "context", "masked", "topic", "partition", "offset", "session", "schema_version"),
        *("subjects", "labels", "changed_fields", "trace_id"),
    }
)
# Never answered themselves.
INTERNAL_COLUMNS = frozenset({"shape", "on_behalf_of_id", "late"})


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two events: after the event of this key in the order of the page, or before it."""

    key: Key
    event_id: uuid.UUID
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in their order, and whether there are more beyond either end."""

    events: list[AuditLog]
    has_next: bool
    has_previous: bool


def page(
    query: Query,
    rights: Rights,
    *,
    sort: Sort,
    size: int,
    position: Position | None = None,
    include: Collection[str] = (),
) -> Page:
    """
    Return one page; `include` names columns of details that are wanted as well.

    One statement, or up to three where a page in the order of time is looked for in a long window. Each is served by
    the index of the filter that chooses most narrowly, or by that of the time.
    """
    backwards = position is not None and position.backwards
    found: list[AuditLog] = []
    for part in _parts(query, sort, position):
        rows = compiler.rows(part, rights).defer(*((DETAIL_COLUMNS | INTERNAL_COLUMNS) - set(include)))
        if position is not None:
            rows = _beyond(rows, sort, position)
        found += rows.order_by(*sort.order(backwards=backwards))[: size + 1 - len(found)]
        if len(found) > size:
            break
    more, events = len(found) > size, found[:size]
    if backwards:
        return Page(events[::-1], has_next=True, has_previous=more)
    return Page(events, has_next=more, has_previous=position is not None)


def one(event_id: uuid.UUID, rights: Rights) -> AuditLog | None:
    """Return an event with everything that is stored of it; None where it is absent, or not for this caller."""
    return compiler.rows(Query(), rights).filter(event_id=event_id).first()


def key(event_id: uuid.UUID, rights: Rights, *, sort: Sort) -> Key | None:
    """Return the key of an event in an order, by its primary key; None where it is absent, or not for this caller."""
    event = compiler.rows(Query(), rights).filter(event_id=event_id).only(COLUMNS[sort.name]).first()
    return None if event is None else sort.key(event)


def has_model(model: str, rights: Rights) -> bool:
    """Say whether the caller may see any event of a model: of one that the code no longer has, say."""
    return compiler.rows(Query(), rights).filter(model=model).exists()


def _parts(query: Query, sort: Sort, position: Position | None) -> Iterable[Query]:
    """Return the query in the parts that are looked through one after the other, until the page is full."""
    if sort.name != TIME:
        return [query]
    descending = sort.descending != (position is not None and position.backwards)
    if position is not None and isinstance(position.key, datetime):
        start: datetime | None = position.key
    else:
        start = (query.until or timezone.now()) if descending else query.since
    return stretches(query, start=start, descending=descending)


def _beyond(rows: QuerySet[AuditLog], sort: Sort, position: Position) -> QuerySet[AuditLog]:
    """Return the rows on one side of a position; with the id's bound, deep pages leave out other partitions."""
    bound = Q()
    if sort.name == TIME and isinstance(position.key, datetime):
        if sort.descending != position.backwards:
            bound = Q(event_id__lt=lowest_id(position.key + EVENT_ID_SLACK))
        else:
            bound = Q(event_id__gte=lowest_id(position.key - EVENT_ID_SLACK))
    return rows.filter(bound, sort.beyond(position.key, position.event_id, backwards=position.backwards))
