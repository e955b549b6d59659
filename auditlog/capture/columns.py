"""
Columns: how the value of each stands in an image, as SQL; identifiers, literals, keys and images out of row references.

All text is for statements with parameters: a percent sign is doubled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql

MASK = "***"
# Stands for the schema of our functions until a connection is known; no identifier or literal can hold NUL.
SCHEMA = "\x00"
# Numbers that a JSON parser would round travel as text; bytes as base64 in one line.
TEXT_TYPES = ("numeric", "decimal")
BASE64 = "translate(encode({0}, 'base64'), E'\\n', '')"
# A JSON value that stands by itself: JSON null where the column can be NULL, and objects that look like one of ours.
LITERAL_KEY = "$json"
OURS = {
    "json": "json_typeof({0}) = 'object' AND {0}::text ~ '\"[$](json|ref)\"'",
    "jsonb": "{0} ?| ARRAY['$json', '$ref']",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A tracked column, and how its value stands in an image."""

    name: str
    field_name: str
    db_type: str
    mask: str | None
    nullable: bool = False
    # FieldClass, where its field is classified.
    data_class: str | None = None
    # The model of the subjects that its values are keys of; the dimensions that its values are labels in.
    subject: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def holds_json(self) -> bool:
        """Whether the column is one of JSON, in which `{"$json": value}` stands for the value."""
        return self.db_type in OURS

    def expression(self, row: str, *, unmasked: str | None = None) -> str:
        """
        Return the SQL of the value out of `row`, a qualified row reference.

        `unmasked` names the kind of mask that is left off because it is put on elsewhere.
        """
        value = f"{row}.{quote(self.name)}"
        if self.mask in {"full", "callable"} and self.mask != unmasked:
            return f"CASE WHEN {value} IS NOT NULL THEN '{MASK}' END AS {quote(self.name)}"
        if self.mask == "hash":
            return f"{SCHEMA}auditlog_hash({value}) AS {quote(self.name)}"
        cast = self._cast()
        return f"{cast.format(value)} AS {quote(self.name)}" if cast else value

    def _cast(self) -> str | None:
        if self.db_type.startswith(TEXT_TYPES):
            return "{}::text[]" if self.db_type.endswith("]") else "{}::text"
        if self.db_type.endswith("[]"):
            element = _cast_of(self.db_type.removesuffix("[]"), nullable=True)
            elements = element and f"SELECT {element.format('auditlog_e')} FROM unnest({{0}}) auditlog_e"
            return elements and f"CASE WHEN {{0}} IS NOT NULL THEN ARRAY({elements}) END"
        return _cast_of(self.db_type, nullable=self.nullable)


def _cast_of(db_type: str, *, nullable: bool) -> str | None:
    if db_type == "bytea":
        return BASE64
    if db_type == "money":
        return "{0}::numeric::text"  # its own text is in the language of the session
    if db_type in OURS:
        null = f"{db_type}_typeof({{0}}) = 'null' OR " if nullable else ""
        return f"CASE WHEN {null}{OURS[db_type]} THEN {db_type}_build_object('{LITERAL_KEY}', {{0}}) ELSE {{0}} END"
    return None


def quote(name: str) -> str:
    """Return a quoted identifier."""
    return sql.Identifier(name).as_string(None).replace("%", "%%")


def literal(text: str) -> str:
    """Return an SQL string literal that is safe inside a statement with parameters."""
    return sql.Literal(text).as_string(None).replace("%", "%%")


def regclass(table: str) -> str:
    """Return the SQL of a table's oid out of its quoted name."""
    return f"{literal(table.replace('%%', '%'))}::regclass"


def key_expression(row: str, columns: tuple[str, ...]) -> str:
    """Return the SQL of an object's key as text: the value, or a JSON array without spaces for a composite key."""
    if len(columns) == 1:
        return f"{row}.{quote(columns[0])}::text"
    parts = " || ',' || ".join(f"to_json({row}.{quote(column)})::text" for column in columns)
    return f"('[' || {parts} || ']')"


def image_expression(row: str, columns: tuple[Column, ...], *, unmasked: str | None = None) -> str:
    """
    Return the SQL of an image: a row of the tracked columns.

    Never the row itself: it holds columns that this process does not know, and the masks of the release that added
    them neither. See ADR 12.
    """
    selected = ", ".join(column.expression(row, unmasked=unmasked) for column in columns)
    return f"(SELECT auditlog_r FROM (SELECT {selected}) auditlog_r)"


def schema_version(label: str, columns: tuple[Column, ...]) -> str:
    """Return the label and a digest of the columns: their types, fields, masks, classes, and what they name."""
    shape = json.dumps([[c.name, c.db_type, c.field_name, c.mask, *_additions(c)] for c in columns])
    return f"{label}:{hashlib.sha256(shape.encode()).hexdigest()[:6]}"


def comparable(row: str, column: Column) -> str:
    """Return the SQL by which the plain values of a column are compared: some types have no equality operator."""
    value = f"{row}.{quote(column.name)}"
    return f"{value}::text" if column.db_type in {"json", "xml", "point", "polygon"} else value


def _additions(column: Column) -> Iterator[Any]:
    """Yield what few columns have: the digest of the others is the same as before there was such a thing."""
    if column.data_class:
        yield column.data_class
    if column.subject or column.labels:
        yield {"subject": column.subject, "labels": column.labels}
