"""Events that are no row change: what happened to an object in the words of its domain, and who looked at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connections, models, router

from auditlog import context, topics
from auditlog.actors import Actor
from auditlog.capture.gaps import tell_gap
from auditlog.capture.messages import Message, append
from auditlog.capture.reprs import text_of
from auditlog.capture.subjects import named
from auditlog.errors import NotRegistered
from auditlog.registry import auditlog
from auditlog.text import clean, key_text
from auditlog.vocabulary import Action, Category

ACTION_CHARACTERS = 100


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
        tell_gap(connection, label)
        return None
    registration = auditlog.find(label)
    return append(
        connection,
        Message(
            label=label,
            topic=topics.events_topic(label),
            table=model._meta.db_table,
            key=key_text(instance.pk),
            action=clean(action, limit=ACTION_CHARACTERS),
            category=category,
            data=data,
            members=_members(actor, reason),
            text=text_of(instance, registration.object_repr if registration else str),
            about=named(instance, registration) if registration else {},
        ),
    )


def record_access(instance: models.Model, *, reason: str | None = None) -> UUID | None:
    """Record that `instance` was looked at; see `record`."""
    return record(instance, action=Action.ACCESS, category=Category.READ, reason=reason)


def _members(actor: Any, reason: str | None) -> str:
    if actor is None and reason is None:
        return context.frame_members()
    who = Actor.of(actor) if actor is not None else context.actor_of_write()
    return context.render_members(actor=who, reason=reason if reason is not None else context.current().reason)
