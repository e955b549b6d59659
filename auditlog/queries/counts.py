"""Counts the events of a query, and says how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import connections

from auditlog.access.rights import Rights
from auditlog.queries import compiler
from auditlog.queries.compiler import Query
from auditlog.routers import READ_MODEL_ALIAS

CAP = 10_000


class CountKind(StrEnum):
    """How exactly the events of a filter are to be counted."""

    NONE = "none"  # not at all
    CAPPED = "capped"  # exactly, up to a limit
    ESTIMATE = "estimate"  # as the planner guesses
    EXACT = "exact"  # all of them


@dataclass(frozen=True, slots=True)
class Count:
    """How many, and how that was found; a capped one above CAP says that there are more than CAP."""

    value: int
    kind: CountKind


def count(query: Query, rights: Rights, *, kind: CountKind) -> Count:
    """
    Return how many events a query has.

    An estimate is made of what the database knows of all rows, so it is for those who may see all of these, and all
    that is in them: what is common among what others may not see would show in it. They get a capped count instead.
    """
    rows = compiler.rows(query, rights)
    if kind is CountKind.ESTIMATE and (not rights.sees_everything or rights.hidden_classes):
        kind = CountKind.CAPPED
    if kind is CountKind.ESTIMATE:
        sql, parameters = rows.values("event_id").query.get_compiler(using=READ_MODEL_ALIAS, elide_empty=False).as_sql()
        return Count(_planned(sql, parameters), kind)
    if kind is CountKind.CAPPED:
        return Count(rows[: CAP + 1].count(), kind)
    return Count(rows.count(), CountKind.EXACT)


def _planned(sql: str, parameters: tuple[Any, ...]) -> int:
    with connections[READ_MODEL_ALIAS].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        (plan,) = cursor.fetchone()
    found = json.loads(plan) if isinstance(plan, str) else plan
    return int(found[0]["Plan"]["Plan Rows"])
