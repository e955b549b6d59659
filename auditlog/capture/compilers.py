"""
SQL compilers that append the event to INSERT, UPDATE and DELETE of registered tables, on top of a backend's own.

Every ORM write passes them. For a table without a plan they change nothing. The forms of the RETURNING clause and the
names that cannot collide with a table's are those of ADR 1.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, TypeVar

from django.core.exceptions import FullResultSet
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.constants import OnConflict

from auditlog.capture.columns import quote
from auditlog.capture.statement import (
    NEW_ROW,
    OLD_ROW,
    RENAMED,
    Sql,
    Statement,
    Write,
    captured_change,
    captured_insert,
)
from auditlog.errors import UncapturedWrite
from auditlog.signals import table_written
from auditlog.vocabulary import Operation
from auditlog.wake import schedule_wake

T = TypeVar("T")
MODULE_PREFIX = "auditlog.capture.compilers_on_"
LOCKED = "auditlog_o"


class _Capturing:
    """What the three compilers share: run the statement, wake the relay after it, drop frames when it fails."""

    connection: Any  # a BaseDatabaseWrapper of the PostgreSQL family
    query: Any
    statement: Statement | None = None

    def _run(self, statement: Statement | None, execute: Callable[[], T]) -> T:
        if statement is None:
            return execute()
        self.statement = statement
        try:
            result = execute() if statement.collected is None else self._run_collecting(statement, execute)
        except BaseException:
            statement.failed()
            raise
        finally:
            self.statement = None
        statement.succeeded()
        schedule_wake(self.connection)
        return result

    def _run_collecting(self, statement: Statement, execute: Callable[[], T]) -> T:
        """Run a write whose event follows it as a second statement: both commit together or not at all."""
        with transaction.atomic(using=self.connection.alias, savepoint=False):
            with self.connection.execute_wrapper(statement.collected):
                result = execute()
            statement.emit_collected(self.connection)
        return result

    def _tell(self, operation: Operation, statement: Statement | None, instances: Sequence[Any] = ()) -> None:
        table_written.send_robust(
            sender=self.query.get_meta().model,
            using=self.connection.alias,
            operation=operation,
            instances=instances,
            named_keys=statement.keys if statement is not None else (),
            framed=statement is not None and bool(statement.frames),
        )


class CapturingInsert(_Capturing):
    """INSERT, also with ON CONFLICT."""

    returning_fields: Any

    def execute_sql(self, returning_fields: Any = None) -> list[Any]:
        """Insert, and hand back exactly the columns that Django asked for."""
        statement = captured_insert(self.query.get_meta().model, self.query.objs, self.connection)
        execute = super().execute_sql  # type: ignore[misc]
        rows: list[Any] = self._run(statement, lambda: execute(returning_fields))
        self._tell(Operation.CREATE, statement, instances=self.query.objs)
        if statement is None or not returning_fields:
            return rows
        return [row[: len(returning_fields)] for row in rows]

    def as_sql(self) -> list[Sql]:
        """Return the statements with the event in their RETURNING clause."""
        statements: list[Sql] = super().as_sql()  # type: ignore[misc]
        if self.statement is None:
            return statements
        return [self._captured(self.statement, sql, tuple(params)) for sql, params in statements]

    def _captured(self, statement: Statement, sql: str, params: tuple[Any, ...]) -> Sql:
        own, _ = self.connection.ops.return_insert_columns(self.returning_fields or ())
        # Each returned column by itself: the CTE around a through table's rows has to name them.
        columns = tuple(
            self.connection.ops.return_insert_columns([field])[0].removeprefix("RETURNING ")
            for field in self.returning_fields or ()
        )
        insert = sql.removesuffix(own).rstrip() if own else sql
        upsert, newest = self.query.on_conflict == OnConflict.UPDATE, statement.can.returns_old_rows
        write = Write(
            sql=insert,
            params=params,
            op="s" if upsert else "c",
            old=OLD_ROW if upsert else None,
            new=NEW_ROW if newest else statement.table,
            renamed=RENAMED if newest else "",
            columns=columns,
        )
        return statement.with_event(_remembering(write, statement) if upsert and not newest else write)


def _remembering(write: Write, statement: Statement) -> Write:
    """
    Return ON CONFLICT DO UPDATE for servers whose RETURNING knows no old row.

    Its WHERE sees the locked old row right before the row's own RETURNING: it is kept in a setting in between, as the
    text of the row, and forgotten before the next row.
    """
    remembered = f"NULLIF(pg_catalog.current_setting('auditlog.remembered', true), '')::{statement.table}"
    return replace(
        write,
        sql=f"{write.sql} WHERE {statement.can.schema}.auditlog_remember({statement.table}.*)",
        # Images are sub-selects, and PostgreSQL evaluates one that names no row once for the whole statement.
        old=f"(CASE WHEN {statement.table}.tableoid IS NOT NULL THEN {remembered} END)",
        finally_="pg_catalog.set_config('auditlog.remembered', '', true)",
    )


class CapturingUpdate(_Capturing):
    """UPDATE. Before PostgreSQL 18 the old row comes from a locking sub-select that the UPDATE joins."""

    def execute_sql(self, result_type: Any) -> Any:
        """Update, and return the number of rows that changed hands."""
        model = self.query.get_meta().model
        statement = captured_change(model, self.query.where, Operation.UPDATE, self.connection)
        execute = super().execute_sql  # type: ignore[misc]
        rows = self._run(statement, lambda: execute(result_type))
        if rows == 0:
            if statement is not None:
                statement.found_no_row()
        else:
            self._tell(Operation.UPDATE, statement)
        return rows

    def as_sql(self) -> Sql:
        """Return the statement with the event in its RETURNING clause."""
        sql, params = super().as_sql()  # type: ignore[misc]
        statement = self.statement
        if statement is None or not sql:
            return sql, params
        if statement.can.returns_old_rows:
            write = Write(sql, tuple(params), "u", OLD_ROW, NEW_ROW, RENAMED)
        else:
            write = self._joined(statement, sql, tuple(params))
        return statement.with_event(write)

    def _joined(self, statement: Statement, sql: str, params: tuple[Any, ...]) -> Write:
        try:
            where, where_params = self.compile(self.query.where)  # type: ignore[attr-defined]
        except FullResultSet:
            where, where_params, condition = "", (), ""
        else:
            condition = f" WHERE {where}"
        if not sql.endswith(condition):
            raise UncapturedWrite(f"The UPDATE of {statement.table} has a form that cannot be captured.")
        meta = self.query.get_meta()
        table = statement.table
        keys = [quote(field.column) for field in meta.pk_fields]
        selected = ", ".join(f"{table}.{key} AS auditlog_pk{number}" for number, key in enumerate(keys))
        # A column of the table's own name would hide the row.
        hidden = any(field.column == meta.db_table for field in meta.local_concrete_fields)
        row = f"ROW({table}.*)::{table}" if hidden else table
        joined = " AND ".join(f"{table}.{key} = {LOCKED}.auditlog_pk{number}" for number, key in enumerate(keys))
        setting = sql.removesuffix(condition)
        count = len(params) - len(where_params)
        return Write(
            sql=(
                f"{setting} FROM (SELECT {row} AS auditlog_row, {selected} FROM {table}{condition} "
                f"FOR NO KEY UPDATE) {LOCKED} WHERE {joined}"
            ),
            params=params[:count] + tuple(where_params),
            op="u",
            old=f"({LOCKED}.auditlog_row)",
            new=table,
        )


class CapturingDelete(_Capturing):
    """DELETE."""

    def execute_sql(self, result_type: Any, *args: Any, **kwargs: Any) -> Any:
        """Delete, and return the number of rows."""
        model = self.query.get_meta().model
        statement = captured_change(model, self.query.where, Operation.DELETE, self.connection)
        execute = super().execute_sql  # type: ignore[misc]
        rows = self._run(statement, lambda: execute(result_type, *args, **kwargs))
        if rows != 0:
            self._tell(Operation.DELETE, statement)
        return rows

    def as_sql(self) -> Sql:
        """Return the statement with the event in its RETURNING clause."""
        sql, params = super().as_sql()  # type: ignore[misc]
        if self.statement is None or not sql:
            return sql, params
        newest = self.statement.can.returns_old_rows
        old = OLD_ROW if newest else self.statement.table
        write = Write(sql, tuple(params), "d", old, None, RENAMED if newest else "")
        return self.statement.with_event(write)


MIXINS: dict[str, type] = {
    "SQLInsertCompiler": CapturingInsert,
    "SQLUpdateCompiler": CapturingUpdate,
    "SQLDeleteCompiler": CapturingDelete,
}


def install() -> None:
    """
    Put the compilers on top of those of every PostgreSQL alias; safe to repeat.

    A backend's own compilers (PostGIS, instrumented or pooled engines) stay in place underneath.
    """
    for alias in connections:
        connection = connections[alias]
        operations: Any = connection.ops
        # An instance that compiled something already keeps the module that it found then.
        operations._cache = None
        if connection.vendor == "postgresql" and not installed_on(connection):
            type(operations).compiler_module = _module_on(operations.compiler_module).__name__
            operations._cache = None


def installed_on(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether the writes of a connection pass the capturing compilers."""
    compiler = connection.ops.compiler("SQLUpdateCompiler")
    return issubclass(compiler, CapturingUpdate)


def _module_on(base_name: str) -> ModuleType:
    name = MODULE_PREFIX + base_name.replace(".", "_")
    if name not in sys.modules:
        base = importlib.import_module(base_name)
        module = ModuleType(name, f"The compilers of {base_name}, capturing.")
        names = ("SQLCompiler", "SQLAggregateCompiler", *MIXINS)
        for compiler in names:
            own = getattr(base, compiler)
            mixin = MIXINS.get(compiler)
            setattr(module, compiler, type(compiler, (mixin, own), {"__module__": name}) if mixin else own)
        sys.modules[name] = module
    return sys.modules[name]
