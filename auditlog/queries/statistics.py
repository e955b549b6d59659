"""
Counts of the events that a query has: over time, and by what they have in common.

Out of the rollups where these can tell what is asked. Of an hour at an end of the window, of which only a part is asked
for, the smaller part is read: its events are added, or taken off what the rollups say of the whole hour. Everything
else is counted from the events, of which the newest are taken where there are very many. One statement for each
answer, so one snapshot: an event is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db import connections
from django.db.models import Case, Expression, F, Func, QuerySet, TextField, Value, When
from django.utils import timezone

from auditlog.access.redaction import NAMINGS, hidden_field_q
from auditlog.access.rights import Rights
from auditlog.models import Rollup, RollupBacklog
from auditlog.partitions import month_of
from auditlog.queries import compiler
from auditlog.queries.buckets import Buckets, nearest_hour
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import Field, Is, StartsWith, conditions, conjoined
from auditlog.routers import READ_MODEL_ALIAS

# Events that are read for one answer.
MOST_ROWS = 100_000


class Dimension(StrEnum):
    """What events are counted by."""

    ACTOR = "actor"
    ON_BEHALF_OF = "on_behalf_of"
    ACTION = "action"
    CATEGORY = "category"
    MODEL = "model"
    OBJECT = "object"  # `doctors.doctor:17`
    SUBJECT = "subject"  # each of an event's
    LABEL = "label"  # each of an event's
    CHANGED_FIELD = "changed_field"  # each of an event's
    IP = "ip"
    REASON = "reason"


class Source(StrEnum):
    """What an answer was counted from."""

    ROLLUP = "rollup"
    ROWS = "rows"


COLUMNS: Final[dict[Dimension, str | Expression]] = {
    Dimension.ACTOR: "actor_id",
    Dimension.ON_BEHALF_OF: "on_behalf_of_id",
    Dimension.ACTION: "action",
    Dimension.CATEGORY: "category",
    Dimension.MODEL: "model",
    Dimension.OBJECT: Func(
        F("model"),
        Value(":"),
        F("object_pk"),
        template="(%(expressions)s)",
        arg_joiner=" || ",
        output_field=TextField(),
    ),
    Dimension.SUBJECT: "subjects",
    Dimension.LABEL: "labels",
    Dimension.CHANGED_FIELD: "changed_fields",
    Dimension.IP: Func(F("remote_addr"), function="host", output_field=TextField()),
    Dimension.REASON: "reason",
}
SEVERAL: Final = frozenset({Dimension.SUBJECT, Dimension.LABEL, Dimension.CHANGED_FIELD})
# What rollups know.
ROLLED: Final = frozenset({Dimension.ACTOR, Dimension.ACTION, Dimension.CATEGORY, Dimension.MODEL})
ROLLED_FIELDS: Final = frozenset({Field.ACTOR, Field.ACTION, Field.CATEGORY, Field.MODEL})

# Index: auditlog_rollup_hours, or one of the audit log's that serves the filter.
HISTOGRAM = """
SELECT width_bucket(at, %s::timestamptz[]), sum(events), min(at) FROM ({counted}) counted (at, events)
GROUP BY 1 ORDER BY 1
"""
FACETS = """
WITH counted (at, events, {names}) AS MATERIALIZED ({counted})
SELECT -1, NULL, coalesce(sum(events), 0), 0, 0, min(at) FROM counted
{facets}
"""
# Rollups of many hours are far fewer once the hours are left out: few enough to be kept in memory for each facet.
# What only the part of an hour has that is not asked for adds up to nothing.
WHOLE = """
SELECT min(at), sum(events), {names} FROM ({counted}) hours (at, events, {names})
GROUP BY {names} HAVING sum(events) <> 0
"""
# The most frequent values of one dimension; how many values there are, and how often they occur together.
FACET = """
UNION ALL
(SELECT {number}, value::text, sum(events), count(*) OVER (), sum(sum(events)) OVER (), NULL::timestamptz
 FROM {values} GROUP BY value ORDER BY 3 DESC, 2 LIMIT %s)
"""


@dataclass(frozen=True, slots=True)
class Total:
    """How many events were counted; where these are only the newest, from when on."""

    events: int
    kind: CountKind
    source: Source
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Histogram:
    """The events of each bucket, also of those that have none."""

    buckets: Buckets
    counts: tuple[int, ...]
    total: Total


@dataclass(frozen=True, slots=True)
class Facet:
    """
    The most frequent values, how many different ones there are, and the occurrences of the others.

    The value is null for events that have none.
    """

    found: tuple[tuple[str | None, int], ...] = ()
    values: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Facets:
    """What a query's events have in common."""

    facets: dict[Dimension, Facet]
    total: Total


@dataclass(frozen=True, slots=True)
class _Counted:
    """SQL that yields when, how many events, and the dimensions."""

    sql: str
    parameters: tuple[Any, ...]
    source: Source

    def total(self, events: int, oldest: datetime | None) -> Total:
        """Return the total of an answer."""
        if self.source is Source.ROWS and events >= MOST_ROWS:
            return Total(events, CountKind.CAPPED, self.source, oldest)
        return Total(events, CountKind.EXACT, self.source)


def histogram(query: Query, rights: Rights, spans: Buckets) -> Histogram:
    """Return how many events there are in each bucket of the query's window."""
    counted = _counted(query, rights, (), are_whole_hours=spans.are_whole_hours)
    rows = _fetch(HISTOGRAM.format(counted=counted.sql), [list(spans.starts), *counted.parameters])
    found = {bucket: int(events) for bucket, events, _oldest in rows}
    oldest = min((row[2] for row in rows), default=None)
    counts = tuple(found.get(number, 0) for number in range(1, len(spans.starts) + 1))
    return Histogram(spans, counts, counted.total(sum(counts), oldest))


def facets(query: Query, rights: Rights, dimensions: Sequence[Dimension], *, limit: int) -> Facets:
    """Return the most frequent values of each dimension."""
    numbered = list(enumerate(dimensions))
    names = ", ".join(f"f{number}" for number, _ in numbered)
    parts = "".join(FACET.format(number=number, values=_values(number, dimension)) for number, dimension in numbered)
    counted = _counted(query, rights, dimensions)
    sql = WHOLE.format(names=names, counted=counted.sql) if counted.source is Source.ROLLUP else counted.sql
    statement = FACETS.format(names=names, counted=sql, facets=parts)
    rows = _fetch(statement, [*counted.parameters, *[limit] * len(numbered)])
    total = next(counted.total(int(row[2]), row[5]) for row in rows if row[0] == -1)
    return Facets({dimension: _facet(rows, number) for number, dimension in numbered}, total)


def actor_names(query: Query, rights: Rights, actors: Sequence[str]) -> dict[str, str | None]:
    """Return what the newest event of each actor calls them. Index: auditlog_auditlog_actor_time."""
    newest: list[QuerySet[Any, Any]] = [
        compiler.rows(replace(query, filter=conjoined(query.filter, Is(Field.ACTOR, (actor,)))), rights)
        .order_by("-occurred_at", "-event_id")
        .values_list("actor_id", "actor_repr")[:1]
        for actor in actors
    ]
    return dict(newest[0].union(*newest[1:], all=True)) if newest else {}


def _values(number: int, dimension: Dimension) -> str:
    if dimension in SEVERAL:
        return f"counted CROSS JOIN LATERAL unnest(f{number}) value"
    return f"(SELECT events, f{number} AS value FROM counted) single"


def _counted(
    query: Query, rights: Rights, dimensions: Sequence[Dimension], *, are_whole_hours: bool = True
) -> _Counted:
    columns = [_column(dimension, rights) for dimension in dimensions]
    hours = _rolled_hours(query)
    if hours is None or not are_whole_hours or not _are_rolled(query, rights, dimensions):
        rows = compiler.rows(query, rights).order_by("-occurred_at")
        sql, parameters = _sql(rows.values_list("occurred_at", Value(1), *columns)[:MOST_ROWS])
        return _Counted(sql, parameters, Source.ROWS)
    first, last = hours
    asked = {condition.field for condition in conditions(query.filter) if isinstance(condition, Is | StartsWith)}
    rolled = Rollup.objects.filter(
        compiler.condition(query.filter, rights),
        by_actor=Dimension.ACTOR in dimensions or Field.ACTOR in asked,
        at__gte=first,
        at__lt=last,
    )
    parts = [_sql(rolled.values_list("at", "events", *columns))] + [
        _sql(compiler.rows(part, rights).values_list("occurred_at", Value(sign), *columns))
        for part, sign in _parts_of_hours(query, first, last)
    ]
    joined = " UNION ALL ".join(f"({sql})" for sql, _ in parts)
    return _Counted(joined, tuple(value for _, values in parts for value in values), Source.ROLLUP)


def _column(dimension: Dimension, rights: Rights) -> str | Expression:
    """Return what a row counts for; nothing, where it hides from the caller whom it is about, or where it belongs."""
    column = COLUMNS[dimension]
    if not isinstance(column, str) or column not in NAMINGS or not rights.hidden_classes:
        return column
    nothing = Value([], output_field=ArrayField(TextField()))
    return Case(When(hidden_field_q(rights, NAMINGS[column]), then=nothing), default=F(column))


def _rolled_hours(query: Query) -> tuple[datetime, datetime] | None:
    """Return the first and the end of the last hour of the rollups that are nearest to the window; None if none are."""
    if query.since is None or query.until is None:
        return None
    now = timezone.now()
    first, last = nearest_hour(query.since, now=now), nearest_hour(query.until, now=now)
    return (first, last) if first < last else None


def _parts_of_hours(query: Query, first: datetime, last: datetime) -> Iterator[tuple[Query, int]]:
    """Yield what the window has besides these hours, to be added (1), and what these have besides it (-1)."""
    for since, until, sign in (
        (query.since, first, 1),
        (first, query.since, -1),
        (query.until, last, -1),
        (last, query.until, 1),
    ):
        if since is not None and until is not None and since < until:
            yield replace(query, since=since, until=until), sign


def _are_rolled(query: Query, rights: Rights, dimensions: Sequence[Dimension]) -> bool:
    """Tell whether rollups know all that is asked, and whether they are complete."""
    if not rights.sees_everything or query.pinned is not None or not ROLLED.issuperset(dimensions):
        return False
    for condition in conditions(query.filter):
        if not isinstance(condition, Is | StartsWith) or condition.field not in ROLLED_FIELDS:
            return False
    waiting = RollupBacklog.objects.all()
    if query.since is not None and query.until is not None:
        waiting = waiting.filter(month__gte=month_of(query.since), month__lt=query.until)
    return not waiting.exists()


def _sql(rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
    # Of conditions that nothing can fulfil there is SQL too: it has a place in a larger statement.
    sql, parameters = rows.query.get_compiler(using=READ_MODEL_ALIAS, elide_empty=False).as_sql()
    return sql, tuple(parameters)


def _fetch(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connections[READ_MODEL_ALIAS].cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _facet(rows: Sequence[tuple[Any, ...]], number: int) -> Facet:
    found = [row for row in rows if row[0] == number]
    if not found:
        return Facet()
    told = sum(int(row[2]) for row in found)
    return Facet(tuple((row[1], int(row[2])) for row in found), int(found[0][3]), int(found[0][4]) - told)
