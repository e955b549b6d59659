"""Counts the events of a query, and says how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from auditlog.access.rights import Rights
from auditlog.queries import compiler
from auditlog.queries.compiler import Query

CAP = 10_000


class CountKind(StrEnum):
    """How exactly the events of a filter are to be counted."""

    NONE = "none"  # not at all
    CAPPED = "capped"  # exactly, up to a limit
    ESTIMATE = "estimate"  # as the planner guesses
    EXACT = "exact"  # all of them


@dataclass(frozen=True, slots=True)
class Count:
    """How many, and how that was found."""

    value: int
    kind: CountKind


def count(query: Query, rights: Rights, *, kind: CountKind) -> Count:
    """Return how many events a query has."""
    rows = compiler.rows(query, rights)
    if kind is CountKind.CAPPED:
        return Count(rows[: CAP + 1].count(), kind)
    return Count(rows.count(), CountKind.EXACT)
