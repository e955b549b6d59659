"""Reads the events of the read model in pages that neither skip nor repeat a row while others are stored."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import BooleanField, F, Func, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan

from auditlog.models import AuditLog
from auditlog.partitions import EVENT_ID_SLACK, lowest_id

# The list of events leaves out what only the single event shows: the whole row twice can be large.
DETAIL_COLUMNS = (
    *("before", "after", "context", "masked", "classes"),
    *("topic", "partition", "offset", "session", "schema_version", "shape"),
)


class Order(StrEnum):
    """What a page is ordered by, newest first; the event id decides among equals."""

    TIME = "occurred_at"
    SEQUENCE = "sequence"  # commit order of one object


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; times from `since` up to and without `until`."""

    model: str | None = None
    object_pk: str | None = None
    actions: tuple[str, ...] = ()
    actor: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two events: older than the event of this key, or newer than it."""

    key: datetime | str
    event_id: uuid.UUID
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, newest first, and whether there are more beyond either end."""

    events: list[AuditLog]
    has_older: bool
    has_newer: bool


def page(*, wanted: EventFilter, order: Order, size: int, position: Position | None = None) -> Page:
    """Return one page, with one statement. Served by the indexes _time, _model_time, _actor_time and _object."""
    rows = filtered(wanted).defer(*DETAIL_COLUMNS)
    newer = position is not None and position.newer
    if position is not None:
        rows = _beyond(rows, order, position)
    sign = "" if newer else "-"
    found = list(rows.order_by(f"{sign}{order}", f"{sign}event_id")[: size + 1])
    more, events = len(found) > size, found[:size]
    if newer:
        return Page(events[::-1], has_older=True, has_newer=more)
    return Page(events, has_older=more, has_newer=position is not None)


def filtered(wanted: EventFilter) -> QuerySet[AuditLog]:
    """Return the events of a filter, bounded by event id as well, so that partitions are pruned."""
    equal = {
        "model": wanted.model,
        "object_pk": wanted.object_pk,
        "actor_id": wanted.actor,
        "request_id": wanted.request_id,
        "action__in": wanted.actions or None,
    }
    rows = AuditLog.objects.filter(**{name: value for name, value in equal.items() if value is not None})
    if wanted.since is not None:
        rows = rows.filter(occurred_at__gte=wanted.since, event_id__gte=lowest_id(wanted.since - EVENT_ID_SLACK))
    if wanted.until is not None:
        rows = rows.filter(occurred_at__lt=wanted.until, event_id__lt=lowest_id(wanted.until + EVENT_ID_SLACK))
    return rows


def one(event_id: uuid.UUID) -> AuditLog | None:
    """Return an event with everything that is stored of it."""
    return AuditLog.objects.filter(event_id=event_id).first()


def has_model(model: str) -> bool:
    """Say whether any event of a model is stored: of one that the code no longer has, say."""
    return AuditLog.objects.filter(model=model).exists()


class _Row(Func):
    """A row value: two of them are compared as one index entry with another, member by member."""

    template = "(%(expressions)s)"
    output_field = BooleanField()


def _beyond(rows: QuerySet[AuditLog], order: Order, position: Position) -> QuerySet[AuditLog]:
    """Return the rows on one side of a position; with the id's bound, deep pages leave out other partitions."""
    place, here = _Row(F(order), F("event_id")), _Row(Value(position.key), Value(position.event_id))
    if not isinstance(position.key, datetime):
        bound = {}
    elif position.newer:
        bound = {"event_id__gte": lowest_id(position.key - EVENT_ID_SLACK)}
    else:
        bound = {"event_id__lt": lowest_id(position.key + EVENT_ID_SLACK)}
    return rows.filter(GreaterThan(place, here) if position.newer else LessThan(place, here), **bound)
