"""What a caller asked for, read out of query parameters or of a body; and the rules that both ways share."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.dateparse import parse_datetime

from auditlog.api.problems import InvalidFilter
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import WITH_PREFIX, Field, Filter, Is, StartsWith, Within
from auditlog.queries.sorting import BY_TIME, COLUMNS, Sort
from auditlog.vocabulary import ActorType, Category

DEFAULT_PAGE_SIZE = 100
LARGEST_PAGE_SIZE = 1_000
VALUE_CHARACTERS = 1_024
# Before the first there are no UUIDv7; after the second no bound on one can be computed.
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
MODEL = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")
MODELS_OF_APP = re.compile(r"[a-z_][a-z0-9_]*\.\*")
TRACE_ID = re.compile(r"[0-9a-f]{32}")
NAMED = re.compile(r"[^:]+:.+", re.DOTALL)
SPACES = re.compile(r"[ \t\n\r\f\v]+")
WORD_CHARACTERS = 100
MOST_WORDS = 10
LARGEST_EXPONENT = 1_000
# Of a value that is an object or an array.
DEEPEST_VALUE = 32
ANY_END = "*"
ALL, REQUESTED = "all", "requested"

# Code and detail.
Wrong = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Window:
    """A time from `since` up to before `until`, and where its bounds come from."""

    since: datetime | None
    until: datetime | None
    applied: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asked for."""

    query: Query
    window: Window
    sort: Sort = BY_TIME
    page_size: int = DEFAULT_PAGE_SIZE
    cursor: str | None = None
    # The members of each event; None: those of a list.
    fields: tuple[str, ...] | None = None
    # Members of the single event that are wanted in the list as well.
    include: frozenset[str] = field(default=frozenset())
    count: CountKind = CountKind.NONE

    @property
    def applied(self) -> Window:
        """The window of the query: a cursor brings its own bounds."""
        return replace(self.window, since=self.query.since, until=self.query.until)

    def chosen(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Return of the members of an event those that are wanted: `fields`, and `include` beside them."""
        if self.fields is None:
            return shown
        return {name: shown[name] for name in dict.fromkeys((*self.fields, *sorted(self.include)))}


class Refused(Exception):
    """A value cannot be accepted; `wrong` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.wrong: Wrong = (code, detail)


def condition_of(name: Field, values: list[str]) -> Filter:
    """
    Return the condition that a field has one of the values, one of which may be a network or end with `*`.

    :raises Refused: if a value is not one that the field can have.
    """
    for value in values:
        _check(name, value)
    if name is Field.IP:
        return _address(values)
    if len(values) == 1 and name in WITH_PREFIX and values[0].endswith(ANY_END):
        return StartsWith(name, values[0][: -len(ANY_END)])
    return Is(name, tuple(sorted(set(values))))


def words_of(text: str) -> tuple[str, ...]:
    """
    Return the words of a search: as in the text of an event, spaces that only Unicode knows stand inside of words.

    :raises Refused: if there are none, too many, or one is too long.
    """
    words = tuple(dict.fromkeys(filter(None, SPACES.split(text))))
    if not words or len(words) > MOST_WORDS or any(len(word) > WORD_CHARACTERS for word in words):
        raise Refused("invalid_text", f"Give 1 to {MOST_WORDS} words of up to {WORD_CHARACTERS} characters.")
    return words


def instant_of(text: str) -> datetime:
    """
    Return a time; one without an offset is refused: nobody knows what it means.

    :raises Refused: if it is none, or outside of the years that an event can have.
    """
    try:
        at = parse_datetime(text)
        if at is not None and at.tzinfo is not None and EARLIEST <= at <= LATEST:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    span = f"from {EARLIEST.year} to {LATEST.year}"
    raise Refused("invalid_datetime", f"Write an ISO 8601 time {span} with an offset: 2026-11-23T09:05:00Z (+ as %2B).")


def window_of(since: datetime | None, until: datetime | None, *, now: datetime, default_days: int | None) -> Window:
    """
    Return the window that applies; `default_days` None means that none does where none was asked for.

    :raises InvalidFilter: if it is empty, or begins in the future and has no end.
    """
    if since and until and since >= until:
        raise InvalidFilter({"from": ("invalid_window", "`from` must be before `to`.")})
    if default_days is None:
        return Window(since, until, REQUESTED if since or until else ALL)
    end = until or now
    if since is None:
        return Window(max(end - timedelta(days=default_days), EARLIEST), end, f"default-{default_days}-days")
    if since >= end:
        raise InvalidFilter({"from": ("invalid_window", "`from` is in the future: give `to` as well.")})
    return Window(since, end, REQUESTED)


def sort_of(text: str) -> Sort:
    """
    Return an order.

    :raises Refused: if events cannot be sorted so.
    """
    sort = Sort.of(text)
    if sort is None:
        raise Refused("invalid_sort", f"Sort by one of {', '.join(COLUMNS)}, with - before it for the highest first.")
    return sort


def count_of(text: str) -> CountKind:
    """
    Return how to count.

    :raises Refused: if the word is not known.
    """
    return CountKind(_one_of(text, [str(kind) for kind in CountKind], "invalid_count"))


def names_of(names: list[str], known: Collection[str]) -> tuple[str, ...]:
    """
    Return the members of an event that are named.

    :raises Refused: if one is not among those `known`.
    """
    for name in names:
        _one_of(name, [*known], "unknown_field")
    return tuple(dict.fromkeys(names))


def number_of(text: str) -> Decimal:
    """
    Return a number of JSON with all of its digits.

    :raises ValueError: if it is not finite, or so large or small that no event holds it.
    """
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise ValueError("out of range")
    return number


def is_text(value: Any) -> bool:
    """Tell whether a value is a text that the database can compare with: not empty, not endless, without NUL."""
    return isinstance(value, str) and 0 < len(value) <= VALUE_CHARACTERS and "\x00" not in value


def _check(name: Field, value: str) -> None:
    match name:
        case Field.MODEL if not (MODEL.fullmatch(value) or MODELS_OF_APP.fullmatch(value)):
            raise Refused("invalid_model", "Write a model as app_label.model, in lower case, or app_label.*.")
        case Field.CATEGORY:
            _one_of(value, [str(category) for category in Category], "invalid_category")
        case Field.ACTOR_TYPE:
            _one_of(value, [str(kind) for kind in ActorType], "invalid_actor_type")
        case Field.SUBJECT | Field.LABEL if not NAMED.fullmatch(value):
            raise Refused(f"invalid_{name}", "Write what it is and which, with a colon: doctors.patient:42.")
        case Field.TRACE if not TRACE_ID.fullmatch(value):
            raise Refused("invalid_trace_id", "Write the 32 hexadecimal digits of a trace id, in lower case.")
        case _:
            pass


def _address(values: list[str]) -> Filter:
    try:
        networks = [ipaddress.ip_network(value) for value in values]
    except ValueError as exc:
        detail = "Write an IP address, or a network as 192.0.2.0/24 whose host bits are zero."
        raise Refused("invalid_ip", detail) from exc
    if len(networks) == 1 and networks[0].num_addresses > 1:
        return Within(networks[0])
    if any(network.num_addresses > 1 for network in networks):
        raise Refused("invalid_ip", "A network stands alone; join several by `or` in the body of a search.")
    return Is(Field.IP, tuple(sorted(str(network.network_address) for network in networks)))


def _one_of(value: str, known: list[str], code: str) -> str:
    if value not in known:
        raise Refused(code, f"Write one of {', '.join(known)}.")
    return value
