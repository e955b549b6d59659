"""Keeps the shapes of records beside their rows: each once, in the transaction of the first row that has it."""

from __future__ import annotations

from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from consumers.decode import Row
from consumers.records import Record
from consumers.shapes import Shape, id_of, shape_of, text_of

# So many are remembered; events with members of their own have a shape each.
REMEMBERED = 10_000
# Sorted by the caller: two consumers that keep the same shapes wait for each other in one order. Index: primary key.
KEEP = """
INSERT INTO auditlog_eventshape (id, text) SELECT * FROM unnest(%s::uuid[], %s::text[]) ON CONFLICT DO NOTHING
"""


class KeptShapes:
    """The shapes that this process has seen. Not safe for more than one thread."""

    def __init__(self) -> None:
        self._ids: dict[Shape, UUID] = {}
        self._unkept: dict[UUID, str] = {}

    def shaped(self, record: Record, row: Row) -> Row:
        """Return the row with the id of its record's shape, which `keep` has to write before the row."""
        shape = shape_of(record, row)
        known = self._ids.get(shape)
        if known is None:
            text = text_of(shape)
            known = id_of(text)
            if len(self._ids) >= REMEMBERED:
                self._ids.clear()
            self._ids[shape] = known
            self._unkept[known] = text
        # What `_replace` does takes three times as long.
        return Row(*row[:-1], known)

    def keep(self, connection: BaseDatabaseWrapper) -> None:
        """Write what is new, in the caller's transaction; again next time unless `committed` is called."""
        if self._unkept:
            ids = sorted(self._unkept)
            with connection.cursor() as cursor:
                cursor.execute(KEEP, [ids, [self._unkept[shape] for shape in ids]])

    def committed(self) -> None:
        """Note that what `keep` wrote has committed."""
        self._unkept.clear()
