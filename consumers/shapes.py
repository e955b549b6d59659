"""
What a record said beyond the columns of its row: order of members, constants, headers. Pure.

A row holds what people ask for; its shape holds the rest, so that both together are the record again. What a row knows
is left out of the shape, so that the events of a model share a few shapes; whatever a row does not know stays in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from auditlog.partitions import EPOCH
from consumers.changes import Image
from consumers.decode import Decoded, Row
from consumers.records import Partition, Record

# Members of `audit` that are columns: objects and texts, whatever their JSON text looks like.
OBJECTS = frozenset({"m2m", "data", "actor", "context", "masked"})
TEXTS = frozenset({"action", "object_pk", "object_repr", "category", "model", "reason", "schema_version"})
AUDIT = OBJECTS | TEXTS | {"event_id"}
# Members of `audit` whose column may hold more than they say; the row knows them where it does not.
NAMES = frozenset({"subjects", "labels"})

# A member or a header that stands alone is what the row says; one with a value is this constant. Values are JSON text;
# of an image the names of its columns, of `source` and `audit` their members.
Entry = str | tuple[str, Any]
Entries = tuple[Entry, ...]
# Members, headers, and the key where it is not that of the object: hashable, and the same for records of one shape.
Shape = tuple[Entries, Entries, tuple[str | None, ...]]
# Version and trace id of a W3C trace context.
TRACE_ID_ENDS = 35
MICROSECOND = timedelta(microseconds=1)
# The key is the object's.
OBJECT_KEY: tuple[str | None, ...] = ()

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_stored = msgspec.json.Decoder(
    tuple[list[msgspec.Raw], list[str | tuple[str, list[str | None]]], list[str | None]]
).decode
_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode
_columns = msgspec.json.Decoder(list[str] | None).decode


def shape_of(record: Record, decoded: Decoded) -> Shape:
    """Return the shape of a record."""
    times, headers = _times(decoded.row), _headers(decoded.row)
    return (
        tuple([_member(name, raw, decoded, times) for name, raw in _members(record.value or b"{}").items()]),
        tuple(
            [
                name if data is not None and data == headers.get(name) else _header(name, data, headers.get(name))
                for name, data in record.headers or ()
            ]
        ),
        OBJECT_KEY if record.key == headers["ce_subject"] else _portable(record.key),
    )


def text_of(shape: Shape) -> str:
    """Return a shape as the text that is stored."""
    return _encode(_as_json(shape)).decode()


def id_of(text: str) -> UUID:
    """Return the id of a shape: the first 128 bits of the SHA-256 of its text."""
    return UUID(bytes=hashlib.sha256(text.encode()).digest()[:16])


def original(row: Row, text: str) -> Record:
    """
    Return the record that became `row`, given the text of its shape.

    Key and headers are those of the topic, byte by byte. The value has the same members in the same order and equals it
    digit by digit; only spaces and the order inside nested JSON may differ, and how a float is written that has an
    exponent.
    """
    members, headers, key = _stored(text)
    known = _headers(row)
    return Record(
        Partition(row.topic, row.partition),
        row.offset,
        _bytes(key) if key else known["ce_subject"],
        _joined([_rendered(entry, row) for entry in members]),
        tuple((entry, known[entry]) if isinstance(entry, str) else (entry[0], _bytes(entry[1])) for entry in headers),
    )


def _member(name: str, raw: msgspec.Raw, decoded: Decoded, times: Mapping[str, bytes]) -> Entry:
    match name:
        case "before":
            return name, _names(decoded.before)
        case "after":
            return name, _names(decoded.after)
        case "source":
            row = decoded.row
            known = {**times, "sequence": _encode(row.sequence), "txId": _number(row.transaction_id)}
            return name, tuple(
                [
                    key if known.get(key) == (value := bytes(inner)) else (key, value)
                    for key, inner in _members(raw).items()
                ]
            )
        case "audit":
            row = decoded.row
            return name, tuple(
                [key if key in AUDIT else _audit_member(key, bytes(inner), row) for key, inner in _members(raw).items()]
            )
        case _:
            value = bytes(raw)
            return name if times.get(name) == value else (name, value)


def _names(image: Image | None) -> tuple[str, ...] | None:
    return None if image is None else tuple(image)


def _audit_member(name: str, value: bytes, row: Row) -> Entry:
    return name if name in NAMES and value == _encode(getattr(row, name)) else (name, value)


def _header(name: str, data: bytes | None, known: bytes | None) -> Entry:
    """Return a header that is not what the row says; of a trace the row knows the span above that of the relay."""
    if name == "traceparent" and data is not None and known is not None:
        return name if data[:TRACE_ID_ENDS] == known[:TRACE_ID_ENDS] else (name, _portable(data))
    return name, _portable(data)


def _times(row: Row) -> dict[str, bytes]:
    microseconds = (row.occurred_at - EPOCH) // MICROSECOND
    return {"ts_ms": str(microseconds // 1000).encode(), "ts_us": str(microseconds).encode()}


def _number(text: str | None) -> bytes | None:
    return text.encode() if text is not None and text.isdecimal() else None


def _headers(row: Row) -> dict[str, bytes | None]:
    key = (row.object_pk or "").encode()
    at = row.occurred_at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return {
        "ce_id": str(row.event_id).encode(),
        "ce_subject": key,
        "ce_partitionkey": key,
        "ce_time": f"{at}Z".encode(),
        "ce_sequence": row.sequence.encode(),
        "ce_dataschema": (row.schema_version or "").encode(),
        "traceparent": _traceparent(row.context),
    }


def _traceparent(context: str | None) -> bytes | None:
    if context is None or '"traceparent"' not in context:
        return None
    trace = msgspec.json.decode(context).get("traceparent")
    return trace.encode() if isinstance(trace, str) else None


def _portable(data: bytes | None) -> tuple[str | None, ...]:
    """Return bytes as text; as nothing and base64 where they are none."""
    if data is None:
        return (None,)
    try:
        return (data.decode(),)
    except UnicodeDecodeError:
        return (None, base64.b64encode(data).decode())


def _bytes(parts: list[str | None]) -> bytes | None:
    match parts:
        case [None, str(encoded)]:
            return base64.b64decode(encoded)
        case [str(text)]:
            return text.encode()
        case _:
            return None


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_as_json(part) for part in value]
    return msgspec.Raw(value) if isinstance(value, bytes) else value


def _rendered(entry: msgspec.Raw, row: Row) -> bytes:
    """Return a member of the value."""
    name, constant = _named(entry)
    if constant is None:
        return _pair(name, _times(row)[name])
    match name:
        case "before" | "after":
            columns = _columns(constant)
            return _pair(name, b"null" if columns is None else _image(getattr(row, name), columns))
        case "source":
            known = {**_times(row), "sequence": _encode(row.sequence), "txId": _number(row.transaction_id) or b"null"}
            return _pair(name, _joined([_filled(inner, known.__getitem__) for inner in _entries(constant)]))
        case "audit":
            return _pair(name, _joined([_filled(inner, partial(_column, row)) for inner in _entries(constant)]))
        case _:
            return _pair(name, bytes(constant))


def _filled(entry: msgspec.Raw, known: Callable[[str], bytes]) -> bytes:
    name, constant = _named(entry)
    return _pair(name, known(name) if constant is None else bytes(constant))


def _column(row: Row, name: str) -> bytes:
    value = getattr(row, name)
    if name in OBJECTS:
        return b"null" if value is None else str(value).encode()
    return _encode(value)


def _image(text: str | None, columns: list[str]) -> bytes:
    values = _members((text or "{}").encode())
    return _joined([_pair(column, bytes(values[column])) for column in columns])


def _named(entry: msgspec.Raw) -> tuple[str, msgspec.Raw | None]:
    if bytes(entry).startswith(b'"'):
        return msgspec.json.decode(entry, type=str), None
    return msgspec.json.decode(entry, type=tuple[str, msgspec.Raw])


def _pair(name: str, value: bytes) -> bytes:
    return _encode(name) + b":" + value


def _joined(members: list[bytes]) -> bytes:
    return b"{" + b",".join(members) + b"}"
