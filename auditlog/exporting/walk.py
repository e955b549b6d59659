"""Walks through all events of a query in constant memory, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from django.db import connections

from auditlog import partitions
from auditlog.access.rights import Rights
from auditlog.access.wall import behind_wall
from auditlog.models import AuditLog
from auditlog.queries import events
from auditlog.queries.compiler import Query
from auditlog.queries.events import Position
from auditlog.queries.sorting import TIME, Sort
from auditlog.routers import READ_MODEL_ALIAS

# Events that are in memory at once.
BATCH_ROWS = 200
OLDEST_FIRST = Sort(TIME, descending=False)


def walk(query: Query, rights: Rights) -> Iterator[list[AuditLog]]:
    """
    Yield the events of a query in batches, each with a short statement of its own.

    No cursor and no snapshot is held open: a pooler may give each statement another session, and a walk of hours keeps
    no old row alive. What belongs to the walk is what was stored at the query's `pinned` position.
    """
    for part in _months(query):
        yield from _walk(part, rights)


def _walk(query: Query, rights: Rights) -> Iterator[list[AuditLog]]:
    position = None
    while True:
        with behind_wall(rights):
            page = events.page(
                query,
                rights,
                sort=OLDEST_FIRST,
                size=BATCH_ROWS,
                position=position,
                include=events.DETAIL_COLUMNS,
            )
        if page.events:
            yield page.events
        if not page.has_next:
            return
        last = page.events[-1]
        position = Position(OLDEST_FIRST.key(last), last.event_id)


def _months(query: Query) -> Iterator[Query]:
    """Yield the query by months, so that each statement is planned for the partitions of one."""
    since = query.since
    for month in _starts_of_months():
        if (since is None or month > since) and (query.until is None or month < query.until):
            yield replace(query, since=since, until=month)
            since = month
    yield replace(query, since=since)


def _starts_of_months() -> list[datetime]:
    return [partitions.month_named(name) for name in partitions.existing(connections[READ_MODEL_ALIAS])]
