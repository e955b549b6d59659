"""What a database says about capturing a table: whether it can, and what it does behind the ORM's back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.capture.columns import quote
from auditlog.capture.compilers import CapturingDelete, CapturingInsert, CapturingUpdate
from auditlog.capture.state import capability
from auditlog.roles import FUNCTIONS, Role

COMPILERS = {
    "SQLInsertCompiler": CapturingInsert,
    "SQLUpdateCompiler": CapturingUpdate,
    "SQLDeleteCompiler": CapturingDelete,
}
# Kind of relation, rules, row-level security, whether this role writes it, foreign keys that write by themselves.
TABLE = """
SELECT c.relkind::text,
    EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
    c.relrowsecurity,
    has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE'),
    ARRAY(
        SELECT k.conname::text FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f'
            AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
        ORDER BY 1
    )
FROM pg_class c WHERE c.oid = to_regclass(%s)
"""
EXECUTABLE = """
SELECT p.proname::text, has_function_privilege(p.oid, 'EXECUTE') FROM pg_proc p
WHERE p.pronamespace = to_regnamespace(%s) AND starts_with(p.proname, 'auditlog_')
"""
# Ordinary and partitioned tables.
TABLE_KINDS = frozenset({"r", "p"})


@dataclass(frozen=True, slots=True)
class Facts:
    """A table on one alias. Reasons are None where there is nothing to say."""

    alias: str
    # Why no write of the table can leave an event.
    obstacle: str | None = None
    # Compilers of this alias that do not capture.
    bypassing: tuple[str, ...] = ()
    # Foreign keys of the table through which the database itself changes or deletes its rows.
    acting_keys: tuple[str, ...] = ()


def facts_of(model: type[models.Model]) -> list[Facts]:
    """Return the facts of each database that this process writes the model's table to."""
    chosen = router.db_for_write(model)
    return [
        facts
        for alias in connections
        if (facts := _facts(connections[alias], model, is_chosen=alias == chosen)) is not None
    ]


def _facts(connection: BaseDatabaseWrapper, model: type[models.Model], *, is_chosen: bool) -> Facts | None:
    alias = connection.alias
    if connection.vendor != "postgresql":
        return Facts(alias, f"{alias} is no PostgreSQL database") if is_chosen else None
    row = _looked_up(connection, model)
    if not is_chosen and (row is None or not row.is_written):
        return None
    if row is None:
        return Facts(alias, "the table does not exist")
    obstacle = row.obstacle or _no_functions(connection)
    return Facts(alias, obstacle, tuple(_bypassing(connection)), tuple(row.acting_keys))


def obstacle_of_table(connection: BaseDatabaseWrapper, model: type[models.Model]) -> str | None:
    """Return why the writes of a table cannot leave events, or not without failing; None where there is no table."""
    row = _looked_up(connection, model)
    return row.obstacle if row is not None else None


class _Row(NamedTuple):
    kind: str
    has_rules: bool
    has_row_security: bool
    is_written: bool
    acting_keys: list[str]

    @property
    def obstacle(self) -> str | None:
        if self.kind not in TABLE_KINDS:
            return "it is no table but a view or the like"
        if self.has_rules:
            return "rewrite rules of the table change what is written"
        if self.has_row_security:
            return "row-level security: a write whose row the writer may not see fails, because its event reads the row"
        return None


def _looked_up(connection: BaseDatabaseWrapper, model: type[models.Model]) -> _Row | None:
    with connection.cursor() as cursor:
        cursor.execute(TABLE, [quote(model._meta.db_table).replace("%%", "%")])
        row = cursor.fetchone()
    return None if row is None else _Row(*row)


def _bypassing(connection: BaseDatabaseWrapper) -> Iterator[str]:
    for name, capturing in COMPILERS.items():
        if not issubclass(connection.ops.compiler(name), capturing):
            yield name


def _no_functions(connection: BaseDatabaseWrapper) -> str | None:
    can = capability(connection)
    if can is None:
        return "the capture functions are not installed: run migrate"
    with connection.cursor() as cursor:
        cursor.execute(EXECUTABLE, [can.schema.replace("%%", "%")])
        functions = dict(cursor.fetchall())
    needed = [prefix for prefix, roles in FUNCTIONS.items() if Role.APP in roles]
    for prefix in needed:
        matching = {name: allowed for name, allowed in functions.items() if name.startswith(prefix)}
        if not matching:
            return f"the function {prefix} is not installed: run migrate"
        if forbidden := sorted(name for name, allowed in matching.items() if not allowed):
            return f"this role may not execute {', '.join(forbidden)}: every write fails"
    return None
