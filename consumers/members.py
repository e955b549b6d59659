"""
What the value of a record says, as far as the format names it: other members are left alone.

Parts that rows keep as they are, or that have decoders of their own, stay JSON text.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec

from auditlog.vocabulary import Category, Operation

Name = Annotated[str, msgspec.Meta(min_length=1)]
# Whole numbers of milliseconds or microseconds that a bigint holds.
Moment = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Source(msgspec.Struct):
    """Where the event comes from."""

    sequence: Name
    tx_id: int | str | None = msgspec.field(name="txId", default=None)


class Person(msgspec.Struct):
    """Whom an actor stands for."""

    id: str | None = None


class Actor(msgspec.Struct):
    """Who acted."""

    id: str | None = None
    repr: str | None = None
    type: str | None = None
    on_behalf_of: Person | None = None


class Context(msgspec.Struct):
    """What it was part of."""

    remote_addr: str | None = None
    request_id: str | None = None
    session: str | None = None
    traceparent: str | None = None


class Membership(msgspec.Struct):
    """Links that came or went."""

    field: str | None = None


class Audit(msgspec.Struct):
    """What the audit says beside the images."""

    event_id: UUID
    action: Name
    model: Name
    object_pk: str | None
    object_repr: str | None = None
    category: Category = Category.WRITE
    m2m: msgspec.Raw = msgspec.Raw(b"null")
    data: msgspec.Raw = msgspec.Raw(b"null")
    actor: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")
    reason: str | None = None
    masked: list[str] | None = None
    masked_changed: list[str] | None = None
    # Column -> field name, where they differ.
    fields: dict[str, str] = {}
    # Class -> columns.
    classes: dict[str, list[str]] | None = None
    # Whether the object is a subject itself; column -> model of the subject; "model:key".
    is_subject: bool = False
    subject_columns: dict[str, Name] = {}
    subjects: list[Name] = []
    # Dimension -> column; "dimension:value".
    label_columns: dict[Name, str] = {}
    labels: list[Name] = []
    schema_version: str | None = None


class Event(msgspec.Struct):
    """The value of a record."""

    before: msgspec.Raw
    after: msgspec.Raw
    op: Operation
    ts_ms: Moment
    source: Source
    audit: Audit
    ts_us: Moment | None = None
