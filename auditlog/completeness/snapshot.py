"""The baseline: events of each row and its links, so that what was there before registration has a beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from auditlog import context
from auditlog.capture import masked
from auditlog.capture.reprs import text_of
from auditlog.completeness.links import links_of
from auditlog.completeness.tables import ROW, Table
from auditlog.text import encode, key_text
from auditlog.vocabulary import Operation
from auditlog.wake import schedule_wake

LOCKED = "auditlog_s"
LOCKED_ROW, RELATION = f"({LOCKED}.auditlog_row)", f"{LOCKED}.auditlog_table"
# A batch that lost against other transactions wrote nothing and is repeated: deadlock, serialization failure.
REPEATABLE = frozenset({"40P01", "40001"})
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the snapshot of a table is."""

    rows: int
    links: int
    # The key of the last row of the last batch; None once all rows are done.
    last_key: str | None


def snapshot(table: Table, *, batch_rows: int, after: str | None = None) -> Iterator[Progress]:
    """
    Record the rows of a table with keys beyond `after` in the order of the primary key, and say so after each batch.

    Each batch is a transaction of its own that holds its rows and their links while they are recorded: an event of the
    snapshot stands among the other events of its object where what it says belongs. Whoever stops between two batches
    goes on with the last key that was yielded. Repeating a part records its rows again, which does no harm.
    """
    rows, links, last_key, is_done = 0, 0, after, False
    while not is_done:
        end = _boundary(table, last_key, batch_rows)
        more_rows, more_links = _repeated(table, last_key, end)
        rows, links = rows + more_rows, links + more_links
        last_key, is_done = end, end is None
        yield Progress(rows, links, end)


def _boundary(table: Table, after: str | None, batch_rows: int) -> str | None:
    """
    Return the key of the last row of the next batch; None where the rest is one.

    Known before rows are locked: the key of a row that had to be waited for may have changed meanwhile, and may not
    decide where the next batch begins.
    """
    condition, params = _range(table, after, None)
    key = table.plan.key(ROW)
    with table.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key} FROM {table.name} {ROW}{condition} ORDER BY {table.order()} OFFSET %s LIMIT 1",
            [*params, batch_rows - 1],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _repeated(table: Table, after: str | None, end: str | None) -> tuple[int, int]:
    for _attempt in range(ATTEMPTS - 1):
        try:
            return _record(table, after, end)
        except OperationalError as exc:
            if getattr(exc.__cause__, "sqlstate", None) not in REPEATABLE:
                raise
    return _record(table, after, end)


def _record(table: Table, after: str | None, end: str | None) -> tuple[int, int]:
    """
    Record the rows beyond one key up to another, then their links, and return how many of each there were.

    The sub-select is done with waiting and reading anew before a row is emitted: otherwise a row that had to be waited
    for is emitted twice, first with the value that it no longer has. Served by the primary key's index.
    """
    condition, params = _range(table, after, end)
    rows = (
        f"(SELECT {ROW} AS auditlog_row, {ROW}.tableoid AS auditlog_table FROM {table.name} {ROW}{condition} "
        f"ORDER BY {table.order()} FOR SHARE) {LOCKED}"
    )
    with transaction.atomic(using=table.connection.alias, durable=True):
        reprs = _reprs(table, after, end)
        frame = (context.frame_members(), reprs, context.traceparent())
        if table.plan.registration.mask_callable is None:
            count = _emit(table, rows, [*frame, *params])
        else:
            count = _emit_masked(table, rows, params, frame)
        links = sum(link.snapshot(condition, params, reprs=reprs) for link in links_of(table))
        schedule_wake(table.connection)
    return count, links


def _reprs(table: Table, after: str | None, end: str | None) -> str | None:
    """
    Return what the objects of a batch are called, by key, as JSON text, and hold their rows from here on.

    A row that appears in between has none: the event of its creation says what it is called.
    """
    make = table.plan.registration.object_repr
    if make is None:
        return None
    instances: QuerySet[Any] = QuerySet(table.model, using=table.connection.alias)
    for operator, key in _bounds(after, end):
        condition = table.compared(operator, row=table.name)
        instances = instances.filter(RawSQL(condition, table.parts(key), BooleanField()))  # noqa: S611 - quoted names
    # A manager of the application's could leave rows out. The lock is a little stronger than FOR SHARE, and as long.
    held = instances.order_by("pk").select_for_update(of=("self",), no_key=True)
    return encode({key_text(instance.pk): text_of(instance, make) for instance in held})


def _emit(table: Table, rows: str, params: list[Any]) -> int:
    call = table.plan.emit(schema=table.can.schema, op=Operation.READ, old=None, new=LOCKED_ROW, relation=RELATION)
    with table.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(auditlog_done) FROM (SELECT {call} AS auditlog_done FROM {rows}) auditlog_events", params
        )
        count: int = cursor.fetchone()[0]
    return count


def _emit_masked(table: Table, rows: str, params: list[Any], frame: tuple[Any, ...]) -> int:
    call = table.plan.images(schema=table.can.schema, old=None, new=LOCKED_ROW, relation=RELATION)
    with table.connection.cursor() as cursor:
        cursor.execute(f"SELECT {call} FROM {rows}", params)
        images = [row[0] for row in cursor.fetchall()]
    masked.emit(table.connection, table.plan, schema=table.can.schema, op=Operation.READ, rows=images, frame=frame)
    return len(images)


def _range(table: Table, after: str | None, end: str | None) -> tuple[str, list[Any]]:
    bounds = _bounds(after, end)
    condition = " AND ".join(table.compared(operator) for operator, _key in bounds)
    return f" WHERE {condition}" if condition else "", [part for _operator, key in bounds for part in table.parts(key)]


def _bounds(after: str | None, end: str | None) -> list[tuple[str, str]]:
    return [(operator, key) for operator, key in ((">", after), ("<=", end)) if key is not None]
