"""
Which part of a window of time a page is looked for in first.

A page of what happens often is full after one month of it, where a statement over two years would plan for every
partition and, where conditions go together (a field with its model), collect all their rows to sort them. So long
windows are read in three stretches, each only if those before did not fill the page: a month, half a year, the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from auditlog.partitions import month_from
from auditlog.queries.compiler import Query
from auditlog.queries.filters import Both, Field, Filter, Is

# Months of the first stretch, and of the first two: whole ones, so that each reads as few partitions as can be.
REACHES: Final = (1, 7)
# Less than this is not worth a statement of its own.
SHORTEST: Final = timedelta(days=31)
# What has one of a value of these has few rows wherever it is: one statement finds them all.
FEW: Final = frozenset({Field.OBJECT, Field.REQUEST, Field.SESSION, Field.SUBJECT, Field.TRACE, Field.TRANSACTION})


def stretches(query: Query, *, start: datetime | None, descending: bool) -> Iterator[Query]:
    """
    Yield the query for one stretch of its window after the other, in the order of time that is asked for.

    Together they are the window, and no row is in two of them. `start` is where reading begins; without it, and for a
    filter that chooses few rows, the whole window is one stretch.
    """
    edges = [] if start is None or _has_few(query.filter) else _edges(query, start, descending=descending)
    bounds = [query.until, *edges, query.since] if descending else [query.since, *edges, query.until]
    for here, there in pairwise(bounds):
        yield replace(query, since=there, until=here) if descending else replace(query, since=here, until=there)


def _edges(query: Query, start: datetime, *, descending: bool) -> list[datetime]:
    """Return where the stretches end, but for the last one."""
    if descending:
        edges = [month_from(start, 1 - reach) for reach in REACHES]
        return [edge for edge in edges if query.since is None or edge - query.since > SHORTEST]
    edges = [month_from(start, reach) for reach in REACHES]
    return [edge for edge in edges if query.until is None or query.until - edge > SHORTEST]


def _has_few(wanted: Filter) -> bool:
    match wanted:
        case Is(field, _values):
            return field in FEW
        case Both(parts):
            return any(map(_has_few, parts))
        case _:
            return False
