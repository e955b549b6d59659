"""
The body of a search: the filter tree as JSON, for what query parameters cannot say or should not show in addresses.

    {"filter": {"and": [{"field": "action", "in": ["update", "delete"]}, {"not": {"changed": "email", "new": null}}]},
     "from": "2026-11-01T00:00:00Z", "sort": "-occurred_at", "page_size": 50, "count": "capped"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar, assert_never

from auditlog.api.asked import (
    DEEPEST_VALUE,
    DEFAULT_PAGE_SIZE,
    LARGEST_EXPONENT,
    LARGEST_PAGE_SIZE,
    Asked,
    Refused,
    condition_of,
    count_of,
    instant_of,
    is_text,
    names_of,
    sort_of,
    window_of,
    words_of,
)
from auditlog.api.problems import InvalidFilter, InvalidSearch
from auditlog.api.serializers import DETAIL_FIELDS, INCLUDED_FIELDS
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import (
    DEEPEST,
    EVERYTHING,
    MOST_CONDITIONS,
    MOST_VALUES,
    MOST_VALUES_OF_TREE,
    UNSET,
    WITH_PREFIX,
    Both,
    Changed,
    Either,
    Field,
    Filter,
    Is,
    Not,
    StartsWith,
    Text,
    Unset,
    Within,
    values_of,
)
from auditlog.queries.sorting import BY_TIME

MEMBERS = frozenset({"filter", "from", "to", "sort", "page_size", "fields", "include", "count"})
T = TypeVar("T")


def parse(body: Any, *, now: datetime, default_days: int | None, cursor: str | None) -> Asked:
    """
    Return what the body of a search asks for.

    :raises InvalidSearch: naming the place of the first thing that is wrong in the filter, and all other members.
    """
    if not isinstance(body, dict):
        raise InvalidSearch({"": ("invalid_body", "Write a JSON object.")})
    errors = {f"/{_step(name)}": ("unknown_member", _known(MEMBERS)) for name in body.keys() - MEMBERS}

    def read(name: str, reader: Callable[[Any], T], otherwise: T) -> T:
        if name not in body:
            return otherwise
        try:
            return reader(body[name])
        except Refused as exc:
            errors[f"/{name}"] = exc.wrong
            return otherwise

    try:
        tree = read_filter(body["filter"]) if "filter" in body else EVERYTHING
    except _Misplaced as exc:
        errors[f"/filter{exc.pointer}"] = exc.wrong
    since, until = (read(name, lambda value: instant_of(_text(value)), None) for name in ("from", "to"))
    sort = read("sort", lambda value: sort_of(_text(value)), BY_TIME)
    page_size = read("page_size", _page_size, DEFAULT_PAGE_SIZE)
    fields = read("fields", lambda value: names_of(_texts(value), DETAIL_FIELDS), None)
    include = read("include", lambda value: names_of(_texts(value), INCLUDED_FIELDS), None)
    count = read("count", lambda value: count_of(_text(value)), CountKind.NONE)
    if errors:
        raise InvalidSearch(errors)
    try:
        window = window_of(since, until, now=now, default_days=default_days)
    except InvalidFilter as exc:
        raise InvalidSearch({"/from": ("invalid_window", str(exc.detail["from"][0]))}) from exc  # type: ignore[call-overload,index]
    query = Query(tree, window.since, window.until)
    return Asked(query, window, sort, page_size, cursor, fields, frozenset(include or ()), count)


def read_filter(value: Any) -> Filter:
    """
    Return the tree that a JSON value describes.

    :raises Refused: with `pointer` saying where it is wrong.
    """
    reader = _Reader()
    return reader.read(value, "", 1)


def written(tree: Filter) -> Any:  # noqa: PLR0911 - one for each kind
    """Return the JSON value that describes a tree: `read_filter(written(tree)) == tree`."""
    match tree:
        case Both(parts):
            return {"and": [written(part) for part in parts]}
        case Either(parts):
            return {"or": [written(part) for part in parts]}
        case Not(part):
            return {"not": written(part)}
        case Is(field, values):
            return {"field": str(field), "in": list(values)}
        case StartsWith(field, prefix):
            return {"field": str(field), "prefix": prefix}
        case Within(network):
            return {"field": "ip", "within": str(network)}
        case Changed(field, old, new):
            given = {"old": old, "new": new}
            alternatives = {f"{name}_in": list(value) for name, value in given.items() if not isinstance(value, Unset)}
            return {"changed": field, **alternatives}
        case Text(words):
            return {"text": " ".join(words)}
        case _:
            assert_never(tree)


class _Misplaced(Refused):
    """A value cannot be accepted, and where it stands."""

    def __init__(self, pointer: str, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.pointer = pointer


class _Reader:
    """Reads one tree; counts its conditions and their values."""

    def __init__(self) -> None:
        self._conditions = self._values = 0

    def read(self, value: Any, at: str, depth: int) -> Filter:
        if depth > DEEPEST:
            raise _Misplaced(at, "too_deep", f"A filter is at most {DEEPEST} levels deep.")
        if not isinstance(value, dict):
            raise _Misplaced(at, "invalid_filter", "Write a JSON object.")
        match value:
            case {"and": parts, **rest} if not rest:
                return Both(tuple(self._parts(parts, f"{at}/and", depth)))
            case {"or": parts, **rest} if not rest:
                return Either(tuple(self._parts(parts, f"{at}/or", depth)))
            case {"not": part, **rest} if not rest:
                return Not(self.read(part, f"{at}/not", depth + 1))
            case _:
                return self._condition(value, at)

    def _condition(self, value: dict[str, Any], at: str) -> Filter:
        self._count(at)
        try:
            found = _condition(value)
        except Refused as exc:
            raise _Misplaced(at + getattr(exc, "pointer", ""), *exc.wrong) from exc
        self._values += len(values_of(found))
        if self._values > MOST_VALUES_OF_TREE:
            raise _Misplaced(at, "too_many", f"The conditions of a filter have at most {MOST_VALUES_OF_TREE} values.")
        return found

    def _count(self, at: str) -> None:
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise _Misplaced(at, "too_many", f"A filter has at most {MOST_CONDITIONS} conditions.")

    def _parts(self, value: Any, at: str, depth: int) -> Iterator[Filter]:
        if not isinstance(value, list):
            raise _Misplaced(at, "invalid_filter", "Write an array of filters.")
        if len(value) > MOST_CONDITIONS:
            raise _Misplaced(at, "too_many", f"A filter has at most {MOST_CONDITIONS} conditions.")
        if not value:
            # Nothing is a condition, too: or else a tree could be as large as a body.
            self._count(at)
        for index, part in enumerate(value):
            yield self.read(part, f"{at}/{index}", depth + 1)


def _condition(value: dict[str, Any]) -> Filter:
    match value:
        case {"field": name, "is": given, **rest} if not rest:
            field = _field(name)
            return _at("/is", lambda: _literal(field, [_text(given)]))
        case {"field": name, "in": given, **rest} if not rest:
            field = _field(name)
            return _at("/in", lambda: _literal(field, _texts(given)))
        case {"field": name, "prefix": given, **rest} if not rest:
            field = _field(name)
            if field not in WITH_PREFIX:
                raise _Misplaced(
                    "/field", "invalid_filter", f"{_known(frozenset(map(str, WITH_PREFIX)))} with `prefix`."
                )
            return _at("/prefix", lambda: StartsWith(field, _text(given)))
        case {"field": "ip", "within": given, **rest} if not rest:
            return _at("/within", lambda: condition_of(Field.IP, [_text(given)]))
        case {"changed": name, **rest} if not rest.keys() - {"old", "new", "old_in", "new_in"}:
            return Changed(_at("/changed", lambda: _text(name)), _values(rest, "old"), _values(rest, "new"))
        case {"text": given, **rest} if not rest:
            return _at("/text", lambda: Text(words_of(_text(given))))
        case _:
            forms = 'Write {"and": […]}, {"or": […]}, {"not": {…}}, {"field", "is"|"in"|"prefix"|"within"}, '
            raise Refused("invalid_filter", forms + '{"changed", "old"?, "new"?} or {"text"}, and nothing beside it.')


def _literal(field: Field, values: list[str]) -> Filter:
    """Return the condition that the field has one of these values: `*` is a character like any other."""
    found = condition_of(field, values)
    return Is(field, tuple(sorted(set(values)))) if isinstance(found, StartsWith) else found


def _field(name: Any) -> Field:
    try:
        return Field(name)
    except ValueError as exc:
        raise _Misplaced("/field", "unknown_field", _known(frozenset(map(str, Field)))) from exc


def _values(given: dict[str, Any], name: str) -> tuple[Any, ...] | Unset:
    """Return what `old` or `new` may be: one value, or those of a list under `old_in` or `new_in`."""
    if name in given:
        return (_at(f"/{name}", lambda: _json(given[name])),)
    several = f"{name}_in"
    if several not in given:
        return UNSET
    return _at(f"/{several}", lambda: tuple(map(_json, _listed(given[several]))))


def _json(value: Any, depth: int = 1) -> Any:
    """Return a value that can be compared with one of an event; a float is the decimal number that was written."""
    if depth > DEEPEST_VALUE:
        raise Refused("too_deep", f"A value is at most {DEEPEST_VALUE} levels deep.")
    match value:
        case str() if "\x00" in value:
            raise Refused("invalid_value", "The text holds a NUL character.")
        case float():
            value = Decimal(repr(value))
            if not value.is_finite() or abs(value.adjusted()) > LARGEST_EXPONENT:
                raise Refused("invalid_value", "The number is out of range.")
        case dict():
            return {_json(name): _json(inner, depth + 1) for name, inner in value.items()}
        case list():
            return [_json(inner, depth + 1) for inner in value]
        case _:
            pass
    return value


def _at(pointer: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except _Misplaced:
        raise
    except Refused as exc:
        raise _Misplaced(pointer, *exc.wrong) from exc


def _text(value: Any) -> str:
    if not is_text(value):
        raise Refused("invalid_value", "Write a text that is neither empty nor too long, without NUL characters.")
    return str(value)


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in _listed(value)]


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_VALUES:
        raise Refused("invalid_value", f"Write an array of 1 to {MOST_VALUES} values.")
    return value


def _page_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_PAGE_SIZE:
        raise Refused("invalid_page_size", f"A page holds 1 to {LARGEST_PAGE_SIZE} events.")
    return value


def _known(names: frozenset[str]) -> str:
    return f"Known here: {', '.join(sorted(names))}."


def _step(name: str) -> str:
    return name[:100].replace("~", "~0").replace("/", "~1")
