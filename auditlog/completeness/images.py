"""The two sides that the bypass check compares: rows as they are, and as their last event says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.capture.columns import SCHEMA, image_expression
from auditlog.completeness.tables import ROW, BadKey, Table
from auditlog.routers import READ_MODEL_ALIAS
from auditlog.vocabulary import Action

Image = Mapping[str, Any]

# The last row event of each object up to a time; topics of other events end so. Index: auditlog_auditlog_object.
LAST_EVENTS = """
SELECT k.key, e.action, e.after, e.masked, e.schema_version, e.sequence
FROM unnest(%s::text[]) AS k (key)
CROSS JOIN LATERAL (
    SELECT a.action, a.after::text AS after, a.masked::text AS masked, a.schema_version, a.sequence
    FROM auditlog_auditlog a
    WHERE a.model = %s AND a.object_pk = k.key AND right(a.topic, 7) <> '.events' AND a.occurred_at <= %s
    ORDER BY a.sequence DESC LIMIT 1
) e
"""
# The objects that events tell of, downwards: the same index, read backwards.
OBJECTS = """
SELECT DISTINCT ON (object_pk) object_pk FROM auditlog_auditlog
WHERE model = %s AND right(topic, 7) <> '.events' AND (%s::text IS NULL OR object_pk < %s)
ORDER BY object_pk DESC LIMIT %s
"""
SAMPLED_OBJECTS = """
SELECT object_pk FROM (
    SELECT DISTINCT object_pk FROM auditlog_auditlog WHERE model = %s AND right(topic, 7) <> '.events'
) k ORDER BY random() LIMIT %s
"""
# Reads the whole outbox, which is almost empty while its relay works.
WAITING = """
SELECT DISTINCT key FROM auditlog_outboxevent
WHERE topic = %s AND key = ANY(%s) AND (%s::text IS NULL OR value::json #>> '{audit,m2m,field}' = %s)
"""
MAY_READ_OUTBOX = "SELECT has_table_privilege(to_regclass('auditlog_outboxevent'), 'SELECT') IS TRUE"


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A row as it is, with the masks of its model."""

    key: str
    text: str

    @property
    def image(self) -> Image:
        """The tracked columns."""
        return parsed(self.text)

    @property
    def digest(self) -> bytes:
        """What tells this state of the row from another, and is small."""
        return hashlib.sha256(self.text.encode()).digest()


@dataclass(frozen=True, slots=True)
class LastEvent:
    """What the audit log says of an object."""

    is_delete: bool
    # None after a delete.
    after: str | None
    masked: frozenset[str]
    schema_version: str | None
    sequence: str


def parsed(text: str) -> Image:
    """Return an image without rounding a number."""
    image: Image = json.loads(text, parse_float=Decimal)
    return image


def clock(table: Table) -> datetime:
    """Return the time of the database whose events carry its clock."""
    with table.connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def rows_after(table: Table, after: str | None, limit: int) -> list[LiveRow]:
    """Return the next rows in the order of the primary key."""
    condition, params = (f" WHERE {table.compared('>')}", table.parts(after)) if after is not None else ("", [])
    statement = f"SELECT {_selected(table, ROW)} FROM {table.name} {ROW}{condition} ORDER BY {table.order()} LIMIT %s"
    return _rows(table, statement, [*params, limit])


def rows_of(table: Table, keys: Sequence[str]) -> list[LiveRow]:
    """Return those of these rows that exist."""
    parts = list(_readable(table, keys))
    if not parts:
        return []
    names = [f"part{number}" for number in range(len(table.key_columns))]
    given = ", ".join(["%s::text[]"] * len(names))
    joined = " AND ".join(
        f"{ROW}.{column} = k.{name}::{db_type}"
        for column, name, db_type in zip(table.key_columns, names, table.key_types, strict=True)
    )
    statement = (
        f"SELECT {_selected(table, ROW)} FROM unnest({given}) AS k ({', '.join(names)}) "
        f"JOIN {table.name} {ROW} ON {joined}"
    )
    return _rows(table, statement, [list(column) for column in zip(*parts, strict=True)])


def locked_row(table: Table, key: str) -> LiveRow | None:
    """Return a row and hold it until the transaction ends."""
    row = "(auditlog_s.auditlog_row)"
    statement = (
        f"SELECT {_selected(table, row)} FROM (SELECT {ROW} AS auditlog_row FROM {table.name} {ROW} "
        f"WHERE {table.compared('=')} FOR UPDATE) auditlog_s"
    )
    return next(iter(_rows(table, statement, table.parts(key))), None)


def sampled_keys(table: Table, limit: int) -> list[str]:
    """Return the keys of rows chosen at random; reads all keys."""
    with table.connection.cursor() as cursor:
        cursor.execute(f"SELECT {table.plan.key(ROW)} FROM {table.name} {ROW} ORDER BY random() LIMIT %s", [limit])
        return [key for (key,) in cursor.fetchall()]


def last_events(table: Table, keys: Sequence[str], *, until: datetime) -> dict[str, LastEvent]:
    """Return the last row event up to a time of each object that has one."""
    with read_model().cursor() as cursor:
        cursor.execute(LAST_EVENTS, [list(keys), table.label, until])
        return {
            key: LastEvent(action == Action.DELETE, after, frozenset(json.loads(masked or "[]")), version, sequence)
            for key, action, after, masked, version, sequence in cursor.fetchall()
        }


def objects_before(table: Table, before: str | None, limit: int) -> list[str]:
    """Return the keys of the next objects that the audit log knows, downwards."""
    with read_model().cursor() as cursor:
        cursor.execute(OBJECTS, [table.label, before, before, limit])
        return [key for (key,) in cursor.fetchall()]


def sampled_objects(table: Table, limit: int) -> list[str]:
    """Return objects of the audit log chosen at random; reads the index of all events of the model."""
    with read_model().cursor() as cursor:
        cursor.execute(SAMPLED_OBJECTS, [table.label, limit])
        return [key for (key,) in cursor.fetchall()]


def waiting(table: Table, keys: Sequence[str], *, topic: str, field: str | None = None) -> set[str]:
    """
    Return the keys for which an event of a topic waits in the outbox; none where the outbox cannot be read.

    `field` names the many-to-many field that the events must be about.
    """
    connection = outbox_reader(table)
    if connection is None or not keys:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(WAITING, [topic, list(keys), field, field])
        return {key for (key,) in cursor.fetchall()}


def read_model() -> BaseDatabaseWrapper:
    """Return the connection to the audit log."""
    return connections[READ_MODEL_ALIAS if READ_MODEL_ALIAS in settings.DATABASES else "default"]


def outbox_reader(table: Table) -> BaseDatabaseWrapper | None:
    """Return a connection that may read the outbox beside a table; the application's role may not."""
    for connection in (table.connection, read_model()):
        if _same_database(connection, table.connection):
            with connection.cursor() as cursor:
                cursor.execute(MAY_READ_OUTBOX)
                if cursor.fetchone()[0]:
                    return connection
    return None


def _same_database(one: BaseDatabaseWrapper, other: BaseDatabaseWrapper) -> bool:
    return all(one.settings_dict[name] == other.settings_dict[name] for name in ("HOST", "PORT", "NAME"))


def _selected(table: Table, row: str) -> str:
    image = image_expression(row, table.plan.columns)
    image = image.replace(SCHEMA, f"{table.can.schema}.")
    return f"{table.plan.key(row)}, {table.can.schema}.auditlog_image({image})"


def _rows(table: Table, statement: str, params: list[Any]) -> list[LiveRow]:
    with table.connection.cursor() as cursor:
        cursor.execute(statement, params)
        return [LiveRow(key, text) for key, text in cursor.fetchall()]


def _readable(table: Table, keys: Sequence[str]) -> Iterator[list[str]]:
    for key in keys:
        try:
            yield table.parts(key)
        except BadKey:
            continue  # of a time in which the table had another primary key: no row can have it
