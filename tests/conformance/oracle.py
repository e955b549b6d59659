"""
The oracle: plain row triggers that note every row change of the sample tables, in the test database only.

What they note is compared with the events: they see the rows as the database writes them, whatever path was taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
from django.db import models
from psycopg import sql

from tests.samples.models import Book, Comic, Country, Genre, Loan, OrderLine, Reader, Shelf, Ticket

ROWS: tuple[type[models.Model], ...] = (Book, Comic, Country, Genre, OrderLine, Reader, Shelf, Ticket)
LINKS: tuple[Any, ...] = (Book.genres.through, Loan, Reader.friends.through)
# Masked, or left out of the images.
HIDDEN = {"secret", "draft"}
INSTALL = """
CREATE TABLE oracle_log (id bigint GENERATED ALWAYS AS IDENTITY, source text, op text, old json, new json);
CREATE FUNCTION oracle_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public SET timezone = 'UTC' SET intervalstyle = 'iso_8601'
AS $$
BEGIN
    INSERT INTO oracle_log (source, op, old, new) VALUES (
        TG_TABLE_NAME, lower(left(TG_OP, 1)),
        CASE WHEN TG_OP <> 'INSERT' THEN row_to_json(old) END, CASE WHEN TG_OP <> 'DELETE' THEN row_to_json(new) END
    );
    RETURN NULL;
END
$$
"""
TRIGGER = "CREATE TRIGGER oracle AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE FUNCTION oracle_note()"
REMOVE = "DROP FUNCTION oracle_note() CASCADE; DROP TABLE oracle_log"

Image = dict[str, Any] | None
# The life of an object: what happened to it, in order.
Lives = dict[tuple[str, str], list[tuple[str, Image, Image]]]


@contextmanager
def installed(owner: psycopg.Connection[Any]) -> Iterator[None]:
    """Install the triggers for the length of a block."""
    owner.execute(INSTALL)
    try:
        for model in (*ROWS, *LINKS):
            owner.execute(sql.SQL(TRIGGER).format(sql.Identifier(model._meta.db_table)))
        yield
    finally:
        owner.execute(REMOVE)


def noted(owner: psycopg.Connection[Any]) -> list[tuple[str, str, Image, Image]]:
    """Return (table, op, old, new) of every row change that has committed, in order."""
    rows = owner.execute("SELECT source, op, old::text, new::text FROM oracle_log ORDER BY id").fetchall()
    return [(source, op, parsed(old), parsed(new)) for source, op, old, new in rows]


def parsed(text: str | None) -> Image:
    """Return an image whose numbers have lost no digit."""
    if text is None:
        return None
    return {k: v for k, v in json.loads(text, parse_float=Decimal).items() if k not in HIDDEN}


def lives(changes: list[tuple[str, str, Image, Image]]) -> Lives:
    """Return what the events of each object ought to be."""
    found: Lives = {}
    for source, op, old, new in changes:
        model = next((model for model in ROWS if model._meta.db_table == source), None)
        if model is None or old == new:
            continue
        label = model._meta.label_lower
        before, after = key_of(model, old), key_of(model, new)
        if before and after and before != after:
            found.setdefault((label, before), []).append(("d", old, None))
            found.setdefault((label, after), []).append(("c", None, new))
        else:
            operation = {"i": "c", "u": "u", "d": "d"}[op]
            found.setdefault((label, before or after), []).append((operation, old, new))
    return found


def key_of(model: type[models.Model], image: Image) -> str:
    """Return the key of a row as text, empty where there is no row."""
    if image is None:
        return ""
    values = [image[str(field.column)] for field in model._meta.pk_fields]
    return str(values[0]) if len(values) == 1 else json.dumps(values, separators=(",", ":"))


def links(changes: list[tuple[str, str, Image, Image]]) -> set[tuple[str, str, str]]:
    """Return (table, owner, target) of the links that are left in the end."""
    left: set[tuple[str, str, str]] = set()
    for source, _op, old, new in changes:
        if source in ENDS:
            owner, target = ENDS[source]
            left -= {(source, str(old[owner]), str(old[target]))} if old else set()
            left |= {(source, str(new[owner]), str(new[target]))} if new else set()
    return left


ENDS = {
    Book.genres.through._meta.db_table: ("book_id", "genre_id"),
    Loan._meta.db_table: ("book_id", "reader_id"),
    Reader.friends.through._meta.db_table: ("from_reader_id", "to_reader_id"),
}
