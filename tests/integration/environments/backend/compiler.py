"""Compilers that mark what passes them."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import compiler

MARK = "/* traced */"

SQLCompiler = compiler.SQLCompiler
SQLAggregateCompiler = compiler.SQLAggregateCompiler


class SQLInsertCompiler(compiler.SQLInsertCompiler):
    """INSERT."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Mark the statements."""
        return [(f"{MARK} {sql}", params) for sql, params in super().as_sql(*args, **kwargs)]


class SQLUpdateCompiler(compiler.SQLUpdateCompiler):
    """UPDATE."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Mark the statement."""
        sql, params = super().as_sql(*args, **kwargs)
        return f"{MARK} {sql}" if sql else sql, params


class SQLDeleteCompiler(compiler.SQLDeleteCompiler):
    """DELETE."""

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Mark the statement."""
        sql, params = super().as_sql(*args, **kwargs)
        return f"{MARK} {sql}" if sql else sql, params
