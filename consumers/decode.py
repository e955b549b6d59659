"""
From a record's bytes to a row of the read model, or the reason why it cannot be one. Pure.

Strict about what the contract names, tolerant of keys that it does not: events evolve by addition. Images, data and
context keep their JSON text, so that no number loses a digit.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from auditlog import tracing
from auditlog.partitions import EPOCH, EVENT_ID_SLACK, time_of
from auditlog.vocabulary import Action, Naming, Operation
from consumers.changes import Changes, Image, changes
from consumers.members import Actor, Audit, Context, Event, Membership
from consumers.reasons import DeadLetterReason
from consumers.records import Record
from consumers.subjects import labels, subjects

UUID_VERSION = 7
# Actions that change the links of an object; a snapshot of links does not.
MEMBERSHIPS = frozenset({Action.M2M_ADD, Action.M2M_REMOVE, Action.M2M_UPDATE})
# How the type of what can be read here ends; another version says that the same bytes mean something else.
TYPE_VERSION = b".v1"
# A NUL that is escaped in JSON: an odd number of backslashes before it.
ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Row(NamedTuple):
    """A row of the read model, in the order of the columns; JSON columns hold JSON text."""

    event_id: UUID
    occurred_at: datetime
    model: str
    object_pk: str | None
    object_repr: str | None
    action: str
    category: str
    changes: str | None
    before: str | None
    after: str | None
    m2m: str | None
    data: str | None
    masked: str | None
    classes: str | None
    actor_id: str | None
    actor_repr: str | None
    actor: str | None
    request_id: str | None
    session: str | None
    transaction_id: str | None
    remote_addr: str | None
    reason: str | None
    context: str | None
    schema_version: str | None
    topic: str
    partition: int
    offset: int
    sequence: str
    subjects: list[str]
    labels: list[str]
    changed_fields: list[str]
    on_behalf_of_id: str | None
    trace_id: str | None
    # What the record said beyond these columns: see `consumers.shapes`.
    shape: UUID | None = None


class Decoded(NamedTuple):
    """A row, and the images that its JSON was made of."""

    row: Row
    before: Image | None
    after: Image | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a record cannot be a row. `detail` says where, never what the event says."""

    reason: DeadLetterReason
    detail: str


@dataclass(frozen=True, slots=True)
class Horizon:
    """The times that an event may be dated at."""

    earliest: datetime
    end: datetime

    def holds(self, moment: datetime) -> bool:
        """Tell whether `moment` is inside."""
        return self.earliest <= moment < self.end


_event_decoder = msgspec.json.Decoder(Event)
_image_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_actor_decoder = msgspec.json.Decoder(Actor | None)
_membership_decoder = msgspec.json.Decoder(Membership | None)
_context_decoder = msgspec.json.Decoder(Context | None)


def decode(record: Record, *, horizon: Horizon) -> Decoded | Rejected:
    """Return the row that the record stands for, or why it stands for none."""
    rejected = foreign(record) or _unreadable(record)
    if rejected is not None or record.value is None:
        return rejected or Rejected(DeadLetterReason.EMPTY_VALUE, "The record has no value.")
    try:
        event = _event_decoder.decode(record.value)
        before, after = _image(event.before, "before"), _image(event.after, "after")
        actor, context = _part(_actor_decoder, event.audit.actor, "actor"), _context_of(event.audit)
        membership = _part(_membership_decoder, event.audit.m2m, "audit.m2m")
        _image(event.audit.data, "audit.data")
    except msgspec.ValidationError as exc:
        return Rejected(DeadLetterReason.INVALID_EVENT, str(exc))
    except (msgspec.DecodeError, RecursionError) as exc:
        return Rejected(DeadLetterReason.INVALID_JSON, str(exc))
    try:
        occurred_at = _occurred_at(event)
        rejected = _misdated(event.audit.event_id, occurred_at, horizon) or mislabelled(record, event.audit.event_id)
    except OverflowError:
        return Rejected(DeadLetterReason.OUT_OF_HORIZON, "The event is dated beyond the calendar.")
    if rejected is not None:
        return rejected
    return Decoded(_row(record, event, occurred_at, (before, after), membership, (actor, context)), before, after)


def foreign(record: Record) -> Rejected | None:
    """Return that the header names a version of the format that is not this one, if it does."""
    event_type = record.header("ce_type")
    if event_type is None or event_type.endswith(TYPE_VERSION):
        return None
    return Rejected(DeadLetterReason.UNKNOWN_VERSION, "`ce_type` does not end with `.v1`.")


def mislabelled(record: Record, event_id: UUID) -> Rejected | None:
    """Return that the header names another id than the value, if it does."""
    labelled = record.header("ce_id")
    name = str(event_id).encode()
    if labelled is None or labelled == name or labelled.lower() == name:
        return None
    return Rejected(DeadLetterReason.HEADER_MISMATCH, "`ce_id` is not the id in the value.")


def _unreadable(record: Record) -> Rejected | None:
    value = record.value
    if record.headers is None:
        return Rejected(DeadLetterReason.INVALID_UTF8, "The name of a header is not UTF-8.")
    if not value:
        return Rejected(DeadLetterReason.EMPTY_VALUE, "The record has no value.")
    try:
        value.decode()
    except UnicodeDecodeError as exc:
        return Rejected(DeadLetterReason.INVALID_UTF8, f"{exc.reason} at byte {exc.start}")
    if b"\\u" in value and (ESCAPED_NUL.search(value) or _has_lone_surrogate(value)):
        return Rejected(DeadLetterReason.UNSTORABLE_TEXT, "A string holds NUL or a lone surrogate.")
    return None


def _has_lone_surrogate(value: bytes) -> bool:
    if not ESCAPED_SURROGATE.search(value):
        return False
    try:
        json.dumps(json.loads(value, parse_int=str, parse_float=str), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False  # not JSON: the decoder says so
    return False


def _image(raw: msgspec.Raw, name: str) -> dict[str, msgspec.Raw] | None:
    image: dict[str, msgspec.Raw] | None = _part(_image_decoder, raw, name)
    return image


def _part(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, name: str) -> Any:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as exc:
        raise msgspec.ValidationError(f"{exc} in `{name}`") from exc


def _context_of(audit: Audit) -> Context:
    context: Context = _part(_context_decoder, audit.context, "audit.context") or Context()
    if context.remote_addr is not None:
        # The inet type knows no IPv6 zone; the context keeps it.
        address = context.remote_addr.partition("%")[0]
        try:
            context.remote_addr = str(ipaddress.ip_address(address))
        except ValueError as exc:
            raise msgspec.ValidationError("Expected an IP address - at `$.audit.context.remote_addr`") from exc
    return context


def _occurred_at(event: Event) -> datetime:
    microseconds = event.ts_us if event.ts_us is not None else event.ts_ms * 1000
    return EPOCH + timedelta(microseconds=microseconds)


def _misdated(event_id: UUID, occurred_at: datetime, horizon: Horizon) -> Rejected | None:
    if event_id.version != UUID_VERSION:
        return Rejected(DeadLetterReason.INVALID_EVENT_ID, "`audit.event_id` is no UUIDv7.")
    id_at = time_of(event_id)
    if not horizon.holds(occurred_at) or not horizon.holds(id_at):
        return Rejected(DeadLetterReason.OUT_OF_HORIZON, f"{occurred_at:%F %T} or the id's time is out of the horizon.")
    if abs(id_at - occurred_at) > EVENT_ID_SLACK:
        return Rejected(DeadLetterReason.INVALID_EVENT_ID, "The time of `audit.event_id` is not that of the event.")
    return None


def _row(
    record: Record,
    event: Event,
    occurred_at: datetime,
    images: tuple[Image | None, Image | None],
    membership: Membership | None,
    circumstances: tuple[Actor | None, Context],
) -> Row:
    audit, (before, after), (actor, context) = event.audit, images, circumstances
    changed = None
    # A snapshot says what is, not what changed.
    if event.op in {Operation.CREATE, Operation.UPDATE, Operation.DELETE}:
        changed = changes(before=before, after=after, fields=audit.fields, masked_changed=audit.masked_changed or ())
    return Row(
        event_id=audit.event_id,
        occurred_at=occurred_at,
        model=audit.model,
        object_pk=audit.object_pk,
        object_repr=audit.object_repr,
        action=audit.action,
        category=audit.category.value,
        changes=None if changed is None else msgspec.json.encode(changed).decode(),
        before=_text(event.before),
        after=_text(event.after),
        m2m=_text(audit.m2m),
        data=_text(audit.data),
        masked=None if audit.masked is None else msgspec.json.encode(audit.masked).decode(),
        classes=_classes(audit),
        actor_id=actor.id if actor else None,
        actor_repr=actor.repr if actor else None,
        actor=_text(audit.actor),
        request_id=context.request_id,
        session=context.session,
        transaction_id=None if event.source.tx_id is None else str(event.source.tx_id),
        remote_addr=context.remote_addr,
        reason=audit.reason,
        context=_text(audit.context),
        schema_version=audit.schema_version,
        topic=record.partition.topic,
        partition=record.partition.number,
        offset=record.offset,
        sequence=event.source.sequence,
        subjects=subjects(
            own=f"{audit.model}:{audit.object_pk}" if audit.is_subject and audit.object_pk is not None else None,
            columns=audit.subject_columns,
            images=images,
            named=audit.subjects,
        ),
        labels=labels(columns=audit.label_columns, images=images, named=audit.labels),
        changed_fields=_changed_fields(event, changed, membership),
        on_behalf_of_id=actor.on_behalf_of.id if actor and actor.on_behalf_of else None,
        trace_id=tracing.trace_id(tracing.valid(context.traceparent)) if context.traceparent else None,
    )


def _changed_fields(event: Event, changed: Changes | None, membership: Membership | None) -> list[str]:
    if changed is not None:
        return list(changed)
    return [membership.field] if membership and membership.field and event.audit.action in MEMBERSHIPS else []


def _classes(audit: Audit) -> str | None:
    """
    Return class -> names under which a row has its values: columns in its images, fields in its changes.

    And `Naming`, where its subjects or labels come out of such columns: they are hidden together.
    """
    if not audit.classes:
        return None
    named = {
        data_class: [
            *(name for column in columns for name in dict.fromkeys((column, audit.fields.get(column, column)))),
            *_naming(audit, columns),
        ]
        for data_class, columns in audit.classes.items()
    }
    return msgspec.json.encode(named).decode()


def _naming(audit: Audit, columns: Collection[str]) -> Iterator[Naming]:
    """Yield what columns say; where values are named without a column, each that has a class may have said them."""
    if audit.subjects or not audit.subject_columns.keys().isdisjoint(columns):
        yield Naming.SUBJECTS
    if audit.labels or not set(audit.label_columns.values()).isdisjoint(columns):
        yield Naming.LABELS


def _text(raw: msgspec.Raw) -> str | None:
    text = bytes(raw).decode()
    return None if text == "null" else text
