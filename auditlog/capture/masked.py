"""
The slow path of a model with a `mask_callable`: the write returns its images, the event follows as a second statement.

Plain values come back to the process that writes them, and to nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import metrics
from auditlog.capture.columns import LITERAL_KEY, MASK, Column
from auditlog.capture.plans import RowPlan
from auditlog.text import encode

log = structlog.get_logger(__name__)

# What `auditlog_images` returns of one row: relation, old key, new key, before, after, changed masked columns.
Images = list[str | None]
NULL = b"null"
LITERAL = f'{{"{LITERAL_KEY}"'.encode()
EMIT = """
SELECT {schema}.auditlog_emit_images(
    %s, {constants}, i.relation::oid, i.old_key, i.new_key, i.before, i.after,
    (SELECT array_agg(name) FROM json_array_elements_text(i.changed::json) name), %s, %s, %s
) FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
  AS i (relation, old_key, new_key, before, after, changed)
"""
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Collector:
    """Takes the images out of the rows that one write returns, and leaves the rows to Django."""

    def __init__(self) -> None:
        self.rows: list[Images] = []
        # The statements of the write, and in which column of their rows the images are.
        self.statements: dict[str, int] = {}

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Wrap an execution; see Django's `execute_wrapper`."""
        result = execute(sql, params, many, context)
        if sql in self.statements:
            cursor = context["cursor"]
            found = cursor.fetchall()
            if found:
                cursor.scroll(0, mode="absolute")
            self.rows += [row[self.statements[sql]] for row in found]
        return result


def emit(
    connection: BaseDatabaseWrapper, row: RowPlan, *, schema: str, op: str, rows: list[Images], frame: tuple[Any, ...]
) -> None:
    """Record the changes of rows, in the transaction of their write."""
    if not rows:
        return
    masked = [[*images[:3], _image(images[3], row), _image(images[4], row), images[5]] for images in rows]
    with connection.cursor() as cursor:
        statement = EMIT.format(schema=schema, constants=row.constants)
        cursor.execute(statement, [op, *frame, *map(list, zip(*masked, strict=True))])


def _image(text: str | None, row: RowPlan) -> str | None:
    if text is None:
        return None
    image = _decoder.decode(text)
    for column in row.columns:
        if column.mask == "callable" and bytes(image[column.name]) != NULL:
            image[column.name] = msgspec.Raw(encode(_masked(image[column.name], column, row)).encode())
    return msgspec.json.encode(image).decode()


def _masked(raw: msgspec.Raw, column: Column, row: RowPlan) -> str:
    if column.holds_json and bytes(raw).startswith(LITERAL):
        raw = _decoder.decode(raw)[LITERAL_KEY]
    value = msgspec.json.decode(raw)
    make = row.registration.mask_callable
    try:
        return str(make(value if isinstance(value, str) else bytes(raw).decode())) if make else MASK
    except Exception as exc:  # noqa: BLE001 - anything may come out of an application's function
        # Never its text: it may hold the value.
        metrics.MASK_FAILURES.labels(model=row.label).inc()
        log.warning("capture.mask_failed", model=row.label, error=type(exc).__name__)
        return MASK
