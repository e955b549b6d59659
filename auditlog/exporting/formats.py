"""
How events are written: a JSON object on each line, or a table that no spreadsheet takes for formulas. Pure.

Both hold every member of the single event in the audit API, with the same names and values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from auditlog import exact_json
from auditlog.api.renderers import one_line
from auditlog.api.serializers import DETAIL_FIELDS
from auditlog.models import AuditLog

MEMBERS: Final = tuple(DETAIL_FIELDS)
# Of the last line of NDJSON; no event has the member.
TRAILER: Final = {"type": "audit_export.trailer"}
# What a spreadsheet takes for the beginning of a formula, in its wide forms as well, or skips before one; and the sign
# itself that takes the meaning away, so that whoever takes one away from the beginning of a cell has what was there.
FORMULA_BEGINNINGS: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")
LITERAL_SIGN: Final = "'"
LINE_END: Final = "\r\n"


class Format(StrEnum):
    """A file format."""

    NDJSON = "ndjson"
    CSV = "csv"

    def beginning(self) -> bytes:
        """Return what stands before the first event."""
        return (",".join(MEMBERS) + LINE_END).encode() if self is Format.CSV else b""

    def lines(self, events: Iterable[AuditLog]) -> bytes:
        """Return the lines of some events."""
        line = _csv if self is Format.CSV else _ndjson
        return b"".join(line(members_of(event)) for event in events)

    def ending(self, trailer: Mapping[str, Any]) -> bytes:
        """Return what stands behind the last event: nothing in a table, which has no place for it."""
        return b"" if self is Format.CSV else _ndjson({**TRAILER, **trailer})


def members_of(event: AuditLog) -> dict[str, Any]:
    """Return what is written of an event, as the audit API shows it."""
    return {**{name: getattr(event, name) for name in DETAIL_FIELDS}, "redacted": list(event.redacted)}


def cell(value: Any) -> str:
    """
    Return a value as a cell: nothing for null, text between quotation marks (RFC 4180), JSON for what has members.

    A cell that a spreadsheet could take for a formula begins with an apostrophe.
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else _text(value)
    if text.startswith(FORMULA_BEGINNINGS):
        text = LITERAL_SIGN + text
    return '"' + text.replace('"', '""') + '"'


def _text(value: Any) -> str:
    text = exact_json.encode(value).decode()
    # Times and ids are texts in JSON.
    return text if isinstance(value, dict | list | int) else text.strip('"')


def _ndjson(members: Mapping[str, Any]) -> bytes:
    return one_line(members) + b"\n"


def _csv(members: Mapping[str, Any]) -> bytes:
    return (",".join(cell(members[name]) for name in MEMBERS) + LINE_END).encode()
