"""Reads any number of rows in constant memory: a cursor of the server, in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")
FETCHED_ROWS = 1_000


@contextmanager
def streamed(
    connection: BaseDatabaseWrapper, statement: str, params: Sequence[Any], make: Callable[..., T]
) -> Iterator[Iterator[T]]:
    """Run a SELECT now, and hand out what `make` makes of its rows while the block lasts."""
    # The transaction keeps the cursor on one connection also behind a pooler.
    with transaction.atomic(using=connection.alias), connection.chunked_cursor() as cursor:
        cursor.execute(statement, params)
        yield _fetched(cursor, make)


def _fetched(cursor: Any, make: Callable[..., T]) -> Iterator[T]:
    while rows := cursor.fetchmany(FETCHED_ROWS):
        for row in rows:
            yield make(*row)
