"""
Parked events: what an operator can do with them. Each decision has a reason, and is an event of the system itself.

A decision and its event commit together. The relay learns of it within a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from auditlog.capture.messages import append_system
from auditlog.large_values import event_bytes
from auditlog.models import OutboxEvent
from auditlog.topics import blobs_topic
from auditlog.vocabulary import Action, Category

# Ids that one system event names; a decision about more is several events.
NAMED_AT_ONCE = 1_000


# Why a broker refuses an event that is too large.
SIZE_REASONS = ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE")
# A record beside its value: headers and framing, and the key, which headers repeat.
RECORD_BYTES, KEY_COPIES = 2_000, 3
SHRINK = "SELECT auditlog_offload(%s::smallint, %s, %s, %s)"


class NotParked(Exception):
    """Events that were named are not parked: nothing was changed."""


class CannotShrink(Exception):
    """An event is too large without its values: nothing was changed."""


def parked(*, topic: str | None = None) -> QuerySet[OutboxEvent]:
    """Return the parked events, oldest first: all, or those of a topic."""
    found = OutboxEvent.objects.filter(parked_at__isnull=False).order_by("id")
    return found if topic is None else found.filter(topic=topic)


def retry(*, reason: str, ids: Collection[int] | None = None, topic: str | None = None) -> list[UUID]:
    """
    Let parked events be published again, each before the later events of its key, which wait behind it.

    Those with these outbox ids, those of a topic, or all; returns their event ids. Locks their rows for one
    transaction. An event that the broker refuses again is parked again.

    :raises NotParked: if one of the ids is not parked.
    """
    return _decide(ids, topic, action=Action.OUTBOX_REQUEUED, reason=reason)


def drop(*, reason: str, ids: Collection[int] | None = None, topic: str | None = None) -> list[UUID]:
    """
    Remove parked events for good: their changes will be in no topic and no audit log, only in the event that says so.

    Chooses, returns, locks and raises as `retry` does. Later events of their keys go on.
    """
    return _decide(ids, topic, action=Action.OUTBOX_DROPPED, reason=reason)


def offload(
    *, reason: str, limits: Mapping[str, int], ids: Collection[int] | None = None, topic: str | None = None
) -> list[UUID]:
    """
    Let parked events that are too large give up their largest values, as capture does, and be published.

    `limits` maps topics to the bytes of a record that they take; that of the contents' topic bounds their chunks.
    Chooses among those that were refused for their size; returns, locks and raises as `retry` does. The id of an event,
    its place among the events of its key, and what is not taken out of it stay.

    :raises CannotShrink: if an event would still be too large: nothing was changed.
    """
    chosen = parked(topic=topic).filter(parked_reason__in=SIZE_REASONS)
    with transaction.atomic(using=chosen.db):
        rows = _locked(chosen, ids)
        for row in rows:
            _shrink(connections[chosen.db], row, limits)
        _tell(rows, using=chosen.db, action=Action.OUTBOX_OFFLOADED, reason=reason)
    return [row["event_id"] for row in rows]


def _shrink(connection: BaseDatabaseWrapper, row: Mapping[str, Any], limits: Mapping[str, int]) -> None:
    limit = limits[row["topic"]] - RECORD_BYTES - KEY_COPIES * len(row["key"].encode())
    chunk = min(event_bytes(), limits.get(blobs_topic(), event_bytes()) - RECORD_BYTES)
    with connection.cursor() as cursor:
        cursor.execute(SHRINK, [row["shard"], row["id"], limit, chunk])
        (size,) = cursor.fetchone()
    if size > limit:
        raise CannotShrink(f"{row['id']} has {size} bytes without its values, and its topic takes {limit} of it.")


def _decide(ids: Collection[int] | None, topic: str | None, *, action: Action, reason: str) -> list[UUID]:
    chosen = parked(topic=topic)
    with transaction.atomic(using=chosen.db):
        rows = _locked(chosen, ids)
        locked = OutboxEvent.objects.using(chosen.db).filter(id__in=[row["id"] for row in rows])
        if action is Action.OUTBOX_DROPPED:
            locked.delete()
        else:
            locked.update(parked_at=None, parked_reason=None)
        _tell(rows, using=chosen.db, action=action, reason=reason)
    return [row["event_id"] for row in rows]


def _locked(chosen: QuerySet[OutboxEvent], ids: Collection[int] | None) -> list[dict[str, Any]]:
    """Return what is parked still when its row is locked."""
    found = chosen if ids is None else chosen.filter(id__in=ids)
    names = ("id", "event_id", "topic", "key", "parked_reason", "shard")
    rows: list[dict[str, Any]] = list(found.select_for_update().values(*names))
    if missing := set(ids or ()) - {row["id"] for row in rows}:
        raise NotParked(f"Not parked: {', '.join(map(str, sorted(missing)))}.")
    return rows


def _tell(rows: Sequence[Mapping[str, Any]], *, using: str, action: Action, reason: str) -> None:
    told = [{name: value for name, value in row.items() if name != "shard"} for row in rows]
    for start in range(0, len(told), NAMED_AT_ONCE):
        data = {"events": told[start : start + NAMED_AT_ONCE]}
        append_system(connections[using], action=action, category=Category.ADMIN, data=data, reason=reason)
