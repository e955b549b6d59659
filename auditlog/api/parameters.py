"""Query parameters of the audit API, refused unless each is known, given once and well formed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from django.http import QueryDict

from auditlog.api.asked import (
    DEFAULT_PAGE_SIZE,
    LARGEST_PAGE_SIZE,
    VALUE_CHARACTERS,
    Asked,
    Refused,
    Wrong,
    condition_of,
    count_of,
    instant_of,
    names_of,
    number_of,
    sort_of,
    window_of,
    words_of,
)
from auditlog.api.problems import InvalidCursor, InvalidFilter
from auditlog.api.serializers import DETAIL_FIELDS, INCLUDED_FIELDS
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import UNSET, Changed, Field, Filter, Not, Text, Unset, conjoined
from auditlog.queries.sorting import BY_TIME, Sort

# More than 150 topics of 6 partitions need (ADR 28), and less than an address may have: settings/server.py.
CURSOR_CHARACTERS = 6_000
NEGATION = "not."
# Given more than once, or as words with commas between them: one of these.
REPEATABLE = frozenset({Field.ACTION, Field.CATEGORY})
CONDITIONS = frozenset({*map(str, Field), "changed_field", "q"})
FILTERS = CONDITIONS | {f"{NEGATION}{name}" for name in CONDITIONS} | {"old", "new"}
SHAPE = frozenset({"fields", "include"})
PAGING = frozenset({"from", "to", "page_size", "cursor"}) | SHAPE
LIST = FILTERS | PAGING | {"sort", "count"}
LONGEST_WAIT_SECONDS = 30
FEED = FILTERS | SHAPE | {"after", "wait", "limit"}
CURSORS = frozenset({"cursor", "after"})
# The object is in the path.
TIMELINE = (FILTERS - {f"{no}{name}" for no in ("", NEGATION) for name in ("model", "object_pk")}) | PAGING | {"count"}

T = TypeVar("T")
Errors = dict[str, Wrong]


def parse(
    query: QueryDict,
    *,
    known: frozenset[str],
    now: datetime,
    default_days: int | None,
    sort: Sort = BY_TIME,
    members: Collection[str] = DETAIL_FIELDS,
) -> Asked:
    """
    Return what a request asks for; `default_days` None means that no window applies by default.

    Times carry an offset (a naive one is refused: nobody knows what it means); `to` is exclusive. `sort` is the order
    where none is asked for; `members` are what `fields` may name.

    :raises InvalidCursor: for a cursor that none could be.
    :raises InvalidFilter: naming every parameter that is wrong.
    """
    errors = _shape_errors(query, known)
    wanted = [condition for name in sorted(query) if (condition := _condition(query, name, errors)) is not None]
    since, until = (_read(query, name, errors, instant_of, None) for name in ("from", "to"))
    page_size = _read(query, "page_size", errors, _page_size, DEFAULT_PAGE_SIZE)
    order = _read(query, "sort", errors, sort_of, sort)
    count = _read(query, "count", errors, count_of, CountKind.NONE)
    fields = _read(query, "fields", errors, lambda text: names_of(text.split(","), members), None)
    include = _read(query, "include", errors, lambda text: names_of(text.split(","), INCLUDED_FIELDS), None)
    if errors:
        raise InvalidFilter(errors)
    window = window_of(since, until, now=now, default_days=default_days)
    return Asked(
        query=Query(conjoined(*wanted), window.since, window.until),
        window=window,
        sort=order,
        page_size=page_size,
        cursor=query.get("cursor"),
        fields=fields,
        include=frozenset(include or ()),
        count=count,
    )


def instants(query: QueryDict, *names: str) -> dict[str, datetime | None]:
    """
    Return the times that a request gives, which has no other parameters.

    :raises InvalidFilter: naming every parameter that is wrong.
    """
    errors = _shape_errors(query, frozenset(names))
    found = {name: _read(query, name, errors, instant_of, None) for name in names}
    if errors:
        raise InvalidFilter(errors)
    return found


def _shape_errors(query: QueryDict, known: frozenset[str]) -> Errors:
    errors: Errors = {}
    for name, values in query.lists():
        is_malformed, length = any(not value or "\x00" in value for value in values), sum(map(len, values))
        if name not in known:
            errors[name[:100]] = ("unknown_filter", f"Known here: {', '.join(sorted(known)) or 'none'}.")
        elif len(values) > 1 and name.removeprefix(NEGATION) not in REPEATABLE:
            errors[name] = ("repeated_filter", "This filter is given more than once.")
        elif name in CURSORS:
            if is_malformed or length > CURSOR_CHARACTERS:
                raise InvalidCursor
        elif is_malformed:
            errors[name] = ("invalid_value", "The value is empty or holds a NUL character.")
        elif length > VALUE_CHARACTERS:
            errors[name] = ("too_long", f"The value is longer than {VALUE_CHARACTERS} characters.")
    if {"old", "new"} & query.keys() and "changed_field" not in query:
        name = "old" if "old" in query else "new"
        errors.setdefault(name, ("invalid_filter", "Say with `changed_field` whose value this is."))
    return errors


def _condition(query: QueryDict, name: str, errors: Errors) -> Filter | None:
    asked = name.removeprefix(NEGATION)
    if name in errors or asked not in CONDITIONS:
        return None
    values = [word for value in query.getlist(name) for word in (value.split(",") if asked in REPEATABLE else [value])]
    try:
        if asked == "changed_field":
            found: Filter = _changed(query, values[0], is_negated=name != asked)
        elif asked == "q":
            found = Text(words_of(values[0]))
        else:
            found = condition_of(Field(asked), values)
    except Refused as exc:
        errors[name] = exc.wrong
        return None
    return found if name == asked else Not(found)


def _changed(query: QueryDict, field: str, *, is_negated: bool) -> Changed:
    if is_negated:
        return Changed(field)
    return Changed(field, *(_values(query.get(name)) for name in ("old", "new")))


def _values(text: str | None) -> tuple[Any, ...] | Unset:
    """Return what a text of the query can stand for: itself, and the number or word of JSON that it is."""
    if text is None:
        return UNSET
    try:
        read = json.loads(text, parse_float=number_of, parse_constant=number_of)
    except ValueError:
        return (text,)
    return (text, read) if isinstance(read, bool | int | Decimal | None) else (text,)


def _read(query: QueryDict, name: str, errors: Errors, read: Callable[[str], T], otherwise: T) -> T:
    given = query.get(name)
    if given is None or name in errors:
        return otherwise
    try:
        return read(given)
    except Refused as exc:
        errors[name] = exc.wrong
        return otherwise


def _page_size(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= LARGEST_PAGE_SIZE:
        return int(text)
    raise Refused("invalid_page_size", f"A page holds 1 to {LARGEST_PAGE_SIZE} events.")
