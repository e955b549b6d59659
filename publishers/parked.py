"""
Parked events: what an operator can do with them. Each decision has a reason, and is an event of the system itself.

A decision and its event commit together. The relay learns of it within a second.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import connections, transaction
from django.db.models import QuerySet

from auditlog.capture.messages import append_system
from auditlog.models import OutboxEvent
from auditlog.vocabulary import Action, Category

# Ids that one system event names; a decision about more is several events.
NAMED_AT_ONCE = 1_000


class NotParked(Exception):
    """Events that were named are not parked: nothing was changed."""


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


def _decide(ids: Collection[int] | None, topic: str | None, *, action: Action, reason: str) -> list[UUID]:
    chosen = parked(topic=topic) if ids is None else parked(topic=topic).filter(id__in=ids)
    using = chosen.db
    with transaction.atomic(using=using):
        # What is parked still when its row is locked.
        rows = list(chosen.select_for_update().values("id", "event_id", "topic", "key", "parked_reason"))
        missing = set(ids or ()) - {row["id"] for row in rows}
        if missing:
            raise NotParked(f"Not parked: {', '.join(map(str, sorted(missing)))}.")
        locked = OutboxEvent.objects.using(using).filter(id__in=[row["id"] for row in rows])
        if action is Action.OUTBOX_DROPPED:
            locked.delete()
        else:
            locked.update(parked_at=None, parked_reason=None)
        for start in range(0, len(rows), NAMED_AT_ONCE):
            data = {"events": rows[start : start + NAMED_AT_ONCE]}
            append_system(connections[using], action=action, category=Category.ADMIN, data=data, reason=reason)
    return [row["event_id"] for row in rows]
