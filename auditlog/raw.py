"""Captures raw SQL of one's own: rows are held and remembered before it, and compared with what they are after it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from auditlog import context
from auditlog.capture import masked
from auditlog.capture.gaps import tell_gap
from auditlog.completeness.tables import ROW, Table
from auditlog.errors import AuditlogError, NotRegistered
from auditlog.registry import auditlog
from auditlog.text import key_text
from auditlog.vocabulary import Operation
from auditlog.wake import schedule_wake

OLD, NEW = "auditlog_o", "auditlog_n"
OLD_ROW, NEW_ROW = f"({OLD}.auditlog_row)", f"({NEW}.auditlog_row)"
# A row that this transaction sees and that is not committed is its own: inserted in it, in whichever savepoint. What
# others committed meanwhile has its event already. A row holds the lower half of the id of its transaction: its
# distance from this transaction's id, modulo 2^32, gives the rest. Ids of savepoints are higher than that one.
IS_OWN = """
coalesce((
    SELECT CASE WHEN distance < 2147483648 THEN pg_xact_status((own + distance)::text::xid8) = 'in progress' END
    FROM (SELECT own, (auditlog_n.auditlog_xmin - own) & 4294967295 AS distance
        FROM (SELECT pg_current_xact_id_if_assigned()::text::bigint AS own) here) measured
), false)
"""
# Where the rows wait meanwhile: a setting of the transaction, so that no value leaves the database.
_numbers = itertools.count(1)


class MixedWrites(AuditlogError):
    """The ORM writes a model inside its own capture_rows block, to be recorded twice: write it before or after."""


@contextmanager
def capture_rows(model: type[models.Model], pks: Iterable[Any], *, using: str | None = None) -> Iterator[None]:
    """
    Capture what the block does by raw SQL to the rows of `model` with these primary keys.

    Locks the rows that exist until the end of the caller's transaction, and records at the end of the block one event
    for each that was updated, deleted, or inserted by this transaction. Nothing is recorded where the block raises, or
    where auditing is disabled. Rows with other keys are not looked at.

    :raises TransactionManagementError: outside of `transaction.atomic()`.
    :raises NotRegistered: for a model that is not registered.
    :raises MixedWrites: if the ORM writes the same model inside the block.
    """
    if not auditlog.contains(model):
        raise NotRegistered(f"{model._meta.label} is not registered with auditlog.")
    table = Table.of(model._meta.concrete_model or model, using=using)
    if not table.connection.in_atomic_block:
        raise transaction.TransactionManagementError("capture_rows works inside transaction.atomic() only.")
    if context.current().disabled is not None:
        tell_gap(table.connection, table.label)
        yield
        return
    rows = _Rows(table, [table.parts(key_text(pk)) for pk in pks], f"auditlog.held_{next(_numbers)}")
    rows.remember()
    with table.connection.execute_wrapper(_refusing(table)):
        yield
    rows.record()


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a block."""

    table: Table
    keys: list[list[str]]
    setting: str

    def remember(self) -> None:
        """Lock the rows, and keep them as text that is the same under any session's settings."""
        remember = f"{self.table.can.schema}.auditlog_remember(auditlog_s.auditlog_row)"
        self._run(
            "SELECT set_config(%s, coalesce(array_agg("
            f"CASE WHEN {remember} THEN current_setting('auditlog.remembered') END)::text, '{{}}'), true) IS NULL, "
            "set_config('auditlog.remembered', '', true) "
            f"FROM (SELECT {ROW} AS auditlog_row FROM {self._chosen()} FOR UPDATE OF {ROW}) auditlog_s",
            [self.setting, *self._parts()],
        )

    def record(self) -> None:
        """Record what became of the rows."""
        name = self.table.name
        old = f"(SELECT auditlog_x::{name} AS auditlog_row FROM unnest(current_setting(%s)::text[]) auditlog_x) {OLD}"
        new = f"(SELECT {ROW} AS auditlog_row, {ROW}.xmin::text::bigint AS auditlog_xmin FROM {self._chosen()}) {NEW}"
        same = " AND ".join(f"{OLD_ROW}.{column} = {NEW_ROW}.{column}" for column in self.table.key_columns)
        held, chosen = [self.setting], self._parts()
        self._emit(Operation.UPDATE, f"{old} JOIN {new} ON {same}", held + chosen, old=OLD_ROW, new=NEW_ROW)
        missing = f"{old} WHERE NOT EXISTS (SELECT FROM {new} WHERE {same})"
        self._emit(Operation.DELETE, missing, held + chosen, old=OLD_ROW)
        added = f"{new} WHERE NOT EXISTS (SELECT FROM {old} WHERE {same}) AND {IS_OWN}"
        self._emit(Operation.CREATE, added, chosen + held, new=NEW_ROW)
        schedule_wake(self.table.connection)

    def _emit(
        self, op: Operation, source: str, params: list[Any], *, old: str | None = None, new: str | None = None
    ) -> None:
        plan, schema, relation = self.table.plan, self.table.can.schema, self.table.relation
        frame = (context.frame_members(), None, context.traceparent())
        if plan.registration.mask_callable is None:
            call = plan.emit(schema=schema, op=op, old=old, new=new, relation=relation)
            self._run(f"SELECT count(done) FROM (SELECT {call} AS done FROM {source}) events", [*frame, *params])
            return
        call = plan.images(schema=schema, old=old, new=new, relation=relation)
        found = [row[0] for row in self._run(f"SELECT {call} FROM {source}", params)]
        masked.emit(self.table.connection, plan, schema=schema, op=op, rows=found, frame=frame)

    def _chosen(self) -> str:
        names = [f"part{number}" for number in range(len(self.table.key_columns))]
        columns = zip(self.table.key_columns, names, strict=True)
        joined = " AND ".join(f"{ROW}.{column} = auditlog_k.{name}" for column, name in columns)
        given = ", ".join(["%s::text[]"] * len(names))
        types = zip(names, self.table.key_types, strict=True)
        # A key that is named twice is one row.
        keys = (
            f"SELECT DISTINCT {', '.join(f'{name}::{db_type} AS {name}' for name, db_type in types)} "
            f"FROM unnest({given}) AS given ({', '.join(names)})"
        )
        return f"({keys}) auditlog_k JOIN {self.table.name} {ROW} ON {joined}"

    def _parts(self) -> list[Any]:
        return [[key[number] for key in self.keys] for number in range(len(self.table.key_columns))]

    def _run(self, statement: str, params: list[Any]) -> list[Any]:
        with self.table.connection.cursor() as cursor:
            cursor.execute(statement, params)
            rows: list[Any] = cursor.fetchall()
        return rows


def _refusing(table: Table) -> Callable[..., Any]:
    """Return a wrapper of executions that refuses captured writes of the model."""

    def refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        is_captured = table.plan.constants in sql or (f"auditlog_images({table.name}" in sql)
        if is_captured:
            raise MixedWrites
        return execute(sql, params, many, context)

    return refuse
