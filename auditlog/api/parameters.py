"""Query parameters of the audit API, refused unless each is known, given once and well formed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from auditlog.api.problems import InvalidFilter
from auditlog.queries.events import EventFilter

DEFAULT_PAGE_SIZE = 100
LARGEST_PAGE_SIZE = 1_000
VALUE_CHARACTERS = 1_024
CURSOR_CHARACTERS = 4_096
# Before the first there are no UUIDv7; after the second no bound on one can be computed.
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
MODEL = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")
REPEATABLE = frozenset({"action"})
LIST = frozenset({"model", "object_pk", "action", "actor", "request_id", "from", "to", "page_size", "cursor"})
TIMELINE = frozenset({"action", "from", "to", "page_size", "cursor"})
ALL = "all"
REQUESTED = "requested"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a caller asked for."""

    wanted: EventFilter
    page_size: int
    cursor: str | None
    applied: str


def parse(query: QueryDict, *, known: frozenset[str], now: datetime, default_days: int | None) -> Parameters:
    """
    Return the parameters of a request; `default_days` None means that no window applies by default.

    Times carry an offset (a naive one is refused: nobody knows what it means); `to` is exclusive.

    :raises InvalidFilter: naming every parameter that is wrong.
    """
    errors = _shape_errors(query, known)
    since, until = (_instant(query, name, errors) for name in ("from", "to"))
    page_size = _page_size(query, errors)
    if (model := query.get("model")) is not None and "model" not in errors and not MODEL.fullmatch(model):
        errors["model"] = ("invalid_model", "Write a model as app_label.model, in lower case.")
    if since and until and since >= until:
        errors.setdefault("from", ("invalid_window", "`from` must be before `to`."))
    if errors:
        raise InvalidFilter(errors)
    applied = REQUESTED if since or until else ALL
    if default_days is not None:
        until = until or now
        if since is None:
            since, applied = max(until - timedelta(days=default_days), EARLIEST), f"default-{default_days}-days"
        elif since >= until:
            raise InvalidFilter({"from": ("invalid_window", "`from` is in the future: give `to` as well.")})
    wanted = EventFilter(
        model=model,
        object_pk=query.get("object_pk"),
        actions=tuple(sorted({word for value in query.getlist("action") for word in value.split(",")})),
        actor=query.get("actor"),
        request_id=query.get("request_id"),
        since=since,
        until=until,
    )
    return Parameters(wanted, page_size, query.get("cursor"), applied)


def _shape_errors(query: QueryDict, known: frozenset[str]) -> dict[str, tuple[str, str]]:
    errors = {}
    for name, values in query.lists():
        limit = CURSOR_CHARACTERS if name == "cursor" else VALUE_CHARACTERS
        if name not in known:
            errors[name[:100]] = ("unknown_filter", f"Known here: {', '.join(sorted(known)) or 'none'}.")
        elif len(values) > 1 and name not in REPEATABLE:
            errors[name] = ("repeated_filter", "This filter is given more than once.")
        elif any(not value or "\x00" in value for value in values):
            errors[name] = ("invalid_value", "The value is empty or holds a NUL character.")
        elif sum(map(len, values)) > limit:
            errors[name] = ("too_long", f"The value is longer than {limit} characters.")
    return errors


def _instant(query: QueryDict, name: str, errors: dict[str, tuple[str, str]]) -> datetime | None:
    given = query.get(name)
    if given is None or name in errors:
        return None
    try:
        at = parse_datetime(given)
        if at is not None and at.tzinfo is not None and EARLIEST <= at <= LATEST:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    text = (
        f"Write an ISO 8601 time from {EARLIEST.year} to {LATEST.year} with an offset: 2026-11-23T09:05:00Z (+ as %2B)."
    )
    errors[name] = ("invalid_datetime", text)
    return None


def _page_size(query: QueryDict, errors: dict[str, tuple[str, str]]) -> int:
    given = query.get("page_size")
    if given is None or "page_size" in errors:
        return DEFAULT_PAGE_SIZE
    if re.fullmatch(r"[0-9]{1,4}", given) and 1 <= int(given) <= LARGEST_PAGE_SIZE:
        return int(given)
    errors["page_size"] = ("invalid_page_size", f"A page holds 1 to {LARGEST_PAGE_SIZE} events.")
    return DEFAULT_PAGE_SIZE
