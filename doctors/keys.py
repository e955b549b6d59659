"""Primary keys that are known before the row is written."""

from __future__ import annotations

from django.db import connections, models

# Draws from the sequence of an identity column; what is drawn is used up, whatever becomes of the row.
DRAW = "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)"


def draw_keys(model: type[models.Model], *, count: int, using: str) -> list[int]:
    """Return new primary keys of the table of `model`, in one statement."""
    connection = connections[using]
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(DRAW, [table, model._meta.pk.column, count])
        return [key for (key,) in cursor.fetchall()]
