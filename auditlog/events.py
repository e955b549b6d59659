"""Events that are no row change: what happened to an object in the words of its domain, and who looked at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connections, models, router

from auditlog import context, topics
from auditlog.actors import Actor
from auditlog.capture.plans import event_constants
from auditlog.capture.reprs import text_of
from auditlog.capture.state import capability, report_uncaptured
from auditlog.errors import NotRegistered
from auditlog.metrics import UncapturedReason
from auditlog.registry import auditlog
from auditlog.text import clean, encode, key_text
from auditlog.vocabulary import Action, Category
from auditlog.wake import schedule_wake

RECORD = "SELECT {schema}.auditlog_record(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def record(
    instance: models.Model,
    *,
    action: str,
    actor: Any = None,
    data: Mapping[str, Any] | None = None,
    category: Category = Category.WRITE,
    reason: str | None = None,
    using: str | None = None,
) -> UUID | None:
    """
    Record that something happened to `instance`, in the transaction of the caller, and return the event's id.

    One statement; in autocommit mode it commits by itself. `actor` and `reason` default to those of the context. The
    event goes to the topic `<topic of the model>.events`. Returns None where auditing is disabled or not installed.

    :raises NotRegistered: if the model is not registered.
    :raises ValueError: if the instance has no primary key yet.
    """
    model = type(instance)
    label = (model._meta.concrete_model or model)._meta.label_lower
    if not auditlog.contains(model):
        raise NotRegistered(f"{model._meta.label} is not registered with auditlog.")
    if instance.pk is None:
        raise ValueError("An event needs an object that is saved.")
    connection = connections[using or instance._state.db or router.db_for_write(model, instance=instance)]
    if context.current().disabled is not None:
        report_uncaptured(label=label, reason=UncapturedReason.DISABLED)
        return None
    can = capability(connection)
    if can is None:
        report_uncaptured(label=label, reason=UncapturedReason.NOT_INSTALLED)
        return None
    topic, source, audit, event_type, version = event_constants(
        topic=topics.events_topic(label),
        label=label,
        table=model._meta.db_table,
        audit={"category": category.value, "masked": []},
        version=f"{label}.events:1",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD.replace("{schema}", can.schema),
            [
                clean(action),
                topic,
                source,
                audit,
                event_type,
                version,
                key_text(instance.pk),
                encode(data) if data is not None else None,
                _members(actor, reason),
                _repr(instance, label),
                context.traceparent(),
            ],
        )
        event_id: UUID = cursor.fetchone()[0]
    schedule_wake(connection)
    return event_id


def record_access(instance: models.Model, *, reason: str | None = None) -> UUID | None:
    """Record that `instance` was looked at; see `record`."""
    return record(instance, action=Action.ACCESS, category=Category.READ, reason=reason)


def _members(actor: Any, reason: str | None) -> str:
    if actor is None and reason is None:
        return context.frame_members()
    who = Actor.of(actor) if actor is not None else context.actor_of_write()
    return context.render_members(actor=who, reason=reason if reason is not None else context.current().reason)


def _repr(instance: models.Model, label: str) -> str | None:
    registration = auditlog.find(label)
    return text_of(instance, registration.object_repr if registration else str)
