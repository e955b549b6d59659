"""Events that are no row change, on their way into the outbox: one call of `auditlog_record`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import context, topics
from auditlog.capture.columns import LITERAL_KEY
from auditlog.capture.plans import event_constants
from auditlog.capture.state import capability, report_uncaptured
from auditlog.large_values import REFERENCE_KEY
from auditlog.metrics import UncapturedReason
from auditlog.text import clean, encode
from auditlog.vocabulary import Action, Category
from auditlog.wake import schedule_wake

NOBODY = "unknown"
RECORD = "SELECT {schema}.auditlog_record(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Message:
    """What happened, and to what."""

    label: str
    topic: str
    table: str
    key: str
    action: str
    category: Category
    data: Mapping[str, Any] | None
    # The members of `audit` that depend on the circumstances: see `context.frame_members`.
    members: str
    text: str | None = None
    # Members of `audit` that name subjects and labels: see `capture.subjects`.
    about: Mapping[str, Any] = field(default_factory=dict)


def append_system(
    connection: BaseDatabaseWrapper,
    *,
    action: Action,
    category: Category,
    data: Mapping[str, Any],
    reason: str,
    text: str | None = None,
    key: str | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> UUID | None:
    """
    Put an event about no object into the outbox: its key is who acts, `text` its `object_repr`; see `append`.

    `classes`: class -> names of members of `data` that only those may see who may see that class.
    """
    actor = context.actor_of_write()
    message = Message(
        label=topics.SYSTEM_MODEL,
        topic=topics.system_topic(),
        table="",
        key=key or principal(),
        action=action,
        category=category,
        data=data,
        members=context.render_members(actor=actor, reason=clean(reason, limit=context.REASON_CHARACTERS) or None),
        text=text,
        about={"classes": classes} if classes else {},
    )
    return append(connection, message)


def principal() -> str:
    """Return who acts at this moment, as the key of a system event."""
    actor = context.actor_of_write()
    return (actor and (actor.repr or actor.id)) or NOBODY


def append(connection: BaseDatabaseWrapper, message: Message) -> UUID | None:
    """
    Put an event into the outbox, in the transaction of the caller, and return its id.

    One statement; in autocommit mode it commits by itself. Returns None where the functions are not installed.
    """
    can = capability(connection)
    if can is None:
        report_uncaptured(label=message.label, reason=UncapturedReason.NOT_INSTALLED)
        return None
    constants = event_constants(
        topic=message.topic,
        label=message.label,
        table=message.table,
        audit={"category": message.category.value, "masked": [], **message.about},
        version=f"{message.label}.events:1",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD.replace("{schema}", can.schema),
            [
                message.action,
                *constants,
                message.key,
                _data(message.data),
                message.members,
                message.text,
                context.traceparent(),
            ],
        )
        event_id: UUID = cursor.fetchone()[0]
    schedule_wake(connection)
    return event_id


def _data(data: Mapping[str, Any] | None) -> str | None:
    """Return `data` as JSON text; what only looks like a reference says so, as in an image."""
    if data is None:
        return None
    return encode({LITERAL_KEY: data} if {LITERAL_KEY, REFERENCE_KEY} & data.keys() else data)
