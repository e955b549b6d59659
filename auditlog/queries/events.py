"""Reads the events of the read model in pages that neither skip nor repeat a row while others are stored."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.db.models import Q, QuerySet

from auditlog.models import AuditLog

# Event id and `occurred_at` come from one reading of the clock; this is slack for ids that other producers make.
PRUNING_MARGIN = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The list of events leaves out what only the single event shows: the whole row twice can be large.
DETAIL_COLUMNS = ("before", "after", "context", "masked", "topic", "partition", "offset", "session", "schema_version")


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
        rows = rows.filter(_beyond(order, position))
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
        rows = rows.filter(occurred_at__gte=wanted.since, event_id__gte=uuid_floor(wanted.since - PRUNING_MARGIN))
    if wanted.until is not None:
        rows = rows.filter(occurred_at__lt=wanted.until, event_id__lt=uuid_floor(wanted.until + PRUNING_MARGIN))
    return rows


def one(event_id: uuid.UUID) -> AuditLog | None:
    """Return an event with everything that is stored of it."""
    return AuditLog.objects.filter(event_id=event_id).first()


def has_model(model: str) -> bool:
    """Say whether any event of a model is stored: of one that the code no longer has, say."""
    return AuditLog.objects.filter(model=model).exists()


def uuid_floor(at: datetime) -> uuid.UUID:
    """Return the lowest UUIDv7 of a millisecond, like `auditlog_uuid_floor` in the database."""
    return uuid.UUID(int=((at - EPOCH) // timedelta(milliseconds=1)) << 80)


def _beyond(order: Order, position: Position) -> Q:
    side = "gt" if position.newer else "lt"
    # The first condition is implied by the second; it is what an index scan can start from.
    return Q(**{f"{order}__{side}e": position.key}) & (
        Q(**{f"{order}__{side}": position.key}) | Q(**{order: position.key, f"event_id__{side}": position.event_id})
    )
