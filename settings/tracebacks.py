"""Tracebacks for log lines, without what PostgreSQL quotes of rows: a plain value must be in no log."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

import psycopg

# SQLSTATE class 22: messages about data quote it.
DATA_EXCEPTION = "22"

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def formatted(exc_info: ExceptionInfo) -> str:
    """
    Return the traceback of an exception and of those that led to it.

    PostgreSQL's messages quote rows ("Failing row contains …") and statements; of its errors only the SQLSTATE, names
    of tables, columns and constraints, and a first line that quotes nothing remain.
    """
    _kind, error, _traceback = exc_info
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    for cause in _chain(error):
        if isinstance(cause, psycopg.Error) and str(cause):
            # Django's exceptions have the same text.
            text = text.replace(str(cause), _told(cause))
    return text


def _told(error: psycopg.Error) -> str:
    diagnosis = error.diag
    if diagnosis.sqlstate is None:
        return str(error)  # of the driver: the connection failed, say
    names = {
        "table": diagnosis.table_name,
        "column": diagnosis.column_name,
        "constraint": diagnosis.constraint_name,
    }
    where = ", ".join(f"{what} {name}" for what, name in names.items() if name)
    message = "" if diagnosis.sqlstate.startswith(DATA_EXCEPTION) else diagnosis.message_primary or ""
    return " ".join(filter(None, [message, f"(SQLSTATE {diagnosis.sqlstate}{'; ' if where else ''}{where})"]))


def _chain(error: BaseException) -> Iterator[BaseException]:
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
