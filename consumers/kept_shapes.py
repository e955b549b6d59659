"""Keeps the shapes of records beside their rows: each once, in the transaction of the first row that has it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from consumers.decode import Decoded, Row
from consumers.records import Record
from consumers.shapes import Shape, id_of, shape_of, text_of

# So many are remembered; events with members of their own have a shape each.
REMEMBERED = 10_000
# Sorted: two consumers that keep the same shapes wait for each other in one order. Index: primary key.
KEEP = """
INSERT INTO auditlog_eventshape (id, text) SELECT * FROM unnest(%s::uuid[], %s::text[]) ON CONFLICT DO NOTHING
"""


class KeptShapes:
    """The shapes that this process has seen. One thread may read records while another writes what was read before."""

    def __init__(self) -> None:
        self._ids: dict[Shape, UUID] = {}
        # Of those that have not committed yet, as far as this process knows.
        self._texts: dict[UUID, str] = {}

    def shaped(self, record: Record, decoded: Decoded, unkept: dict[UUID, str]) -> Row:
        """Return the row with the id of its record's shape; adds to `unkept` what has to be written before the row."""
        shape = shape_of(record, decoded)
        known = self._ids.get(shape)
        if known is None:
            text = text_of(shape)
            known = id_of(text)
            if len(self._ids) >= REMEMBERED:
                self._ids.clear()
            self._texts[known] = text
            self._ids[shape] = known
        if (unwritten := self._texts.get(known)) is not None:
            unkept[known] = unwritten
        # What `_replace` does takes three times as long.
        return Row._make((*decoded.row[:-1], known))

    def committed(self, kept: Mapping[UUID, str]) -> None:
        """Note that what `keep` wrote has committed; until then it is written again with each batch that has it."""
        for shape in kept:
            self._texts.pop(shape, None)


def keep(connection: BaseDatabaseWrapper, unkept: Mapping[UUID, str]) -> None:
    """Write the shapes that are not there yet, in the caller's transaction."""
    if unkept:
        ids = sorted(unkept)
        with connection.cursor() as cursor:
            cursor.execute(KEEP, [ids, [unkept[shape] for shape in ids]])
