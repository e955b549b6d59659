"""The body of a search is understood, or refused at the place where it is wrong."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.api import search
from auditlog.api.asked import DEEPEST_VALUE, Asked, Window
from auditlog.api.problems import InvalidSearch
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import (
    DEEPEST,
    MOST_CONDITIONS,
    MOST_VALUES,
    MOST_VALUES_OF_TREE,
    UNSET,
    Both,
    Changed,
    Either,
    Field,
    Filter,
    Is,
    Not,
    StartsWith,
    Text,
    Within,
    depth,
)
from auditlog.queries.sorting import Sort
from tests.unit.auditlog_api.trees import TREES

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def parse(body: Any) -> Asked:
    return search.parse(body, now=NOW, default_days=30, cursor=None)


def refused(body: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSearch) as raised:
        parse(body)
    return [(error["pointer"], error["code"]) for error in raised.value.pointed]


def test_an_empty_body_asks_for_the_last_days() -> None:
    since = NOW - timedelta(days=30)
    assert parse({}) == Asked(Query(Both(), since, NOW), Window(since, NOW, "default-30-days"))


def test_every_member_is_understood() -> None:
    body = {
        "filter": {"field": "actor", "is": "7"},
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-11-02T00:00:00Z",
        "sort": "model",
        "page_size": 5,
        "fields": ["event_id"],
        "include": ["after"],
        "count": "exact",
    }
    since, until = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    assert parse(body) == Asked(
        Query(Is(Field.ACTOR, ("7",)), since, until),
        Window(since, until, "requested"),
        sort=Sort("model", descending=False),
        page_size=5,
        fields=("event_id",),
        include=frozenset({"after"}),
        count=CountKind.EXACT,
    )


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ({"field": "action", "in": ["update", "delete"]}, Is(Field.ACTION, ("delete", "update"))),
        ({"field": "action", "is": "odd*"}, Is(Field.ACTION, ("odd*",))),
        ({"field": "action", "prefix": "m2m."}, StartsWith(Field.ACTION, "m2m.")),
        ({"field": "ip", "within": "10.0.0.0/8"}, Within(ipaddress.ip_network("10.0.0.0/8"))),
        ({"changed": "email"}, Changed("email")),
        ({"changed": "email", "old": None, "new": "x"}, Changed("email", (None,), ("x",))),
        ({"changed": "fee", "new": 1.5}, Changed("fee", UNSET, (Decimal("1.5"),))),
        ({"changed": "fee", "new_in": [1, {"a": [2.5]}]}, Changed("fee", UNSET, (1, {"a": [Decimal("2.5")]}))),
        ({"text": "Ada Byron"}, Text(("Ada", "Byron"))),
        ({"and": []}, Both()),
        ({"or": [{"text": "a"}, {"not": {"text": "b"}}]}, Either((Text(("a",)), Not(Text(("b",)))))),
    ],
)
def test_a_filter_becomes_a_tree(written: Any, tree: Filter) -> None:
    assert parse({"filter": written}).query.filter == tree


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ([], [("", "invalid_body")]),
        ({"filters": {}, "a/b": 1}, [("/a~1b", "unknown_member"), ("/filters", "unknown_member")]),
        ({"filter": []}, [("/filter", "invalid_filter")]),
        ({"filter": {}}, [("/filter", "invalid_filter")]),
        ({"filter": {"and": {}}}, [("/filter/and", "invalid_filter")]),
        ({"filter": {"and": [{"text": "a"}, {"or": [5]}]}}, [("/filter/and/1/or/0", "invalid_filter")]),
        ({"filter": {"not": {"field": "colour", "is": "red"}}}, [("/filter/not/field", "unknown_field")]),
        ({"filter": {"field": ["actor"], "is": "7"}}, [("/filter/field", "unknown_field")]),
        ({"filter": {"field": "actor", "is": 7}}, [("/filter/is", "invalid_value")]),
        ({"filter": {"field": "actor", "in": []}}, [("/filter/in", "invalid_value")]),
        ({"filter": {"field": "actor", "in": ["7"] * 201}}, [("/filter/in", "invalid_value")]),
        ({"filter": {"field": "actor", "is": "7", "in": ["7"]}}, [("/filter", "invalid_filter")]),
        ({"filter": {"field": "actor", "prefix": "7"}}, [("/filter/field", "invalid_filter")]),
        ({"filter": {"field": "category", "in": ["read", "x"]}}, [("/filter/in", "invalid_category")]),
        ({"filter": {"field": "ip", "within": "10.0.0.1/8"}}, [("/filter/within", "invalid_ip")]),
        ({"filter": {"field": "actor", "is": "a\0"}}, [("/filter/is", "invalid_value")]),
        ({"filter": {"changed": "email", "old": {"a": "\0"}}}, [("/filter/old", "invalid_value")]),
        ({"filter": {"changed": "email", "older": 1}}, [("/filter", "invalid_filter")]),
        ({"filter": {"text": ""}}, [("/filter/text", "invalid_value")]),
        ({"from": 5, "to": "now"}, [("/from", "invalid_value"), ("/to", "invalid_datetime")]),
        ({"from": None, "fields": None}, [("/fields", "invalid_value"), ("/from", "invalid_value")]),
        ({"page_size": None}, [("/page_size", "invalid_page_size")]),
        ({"from": "2026-11-02T00:00:00Z", "to": "2026-11-01T00:00:00Z"}, [("/from", "invalid_window")]),
        ({"page_size": True, "sort": "x"}, [("/page_size", "invalid_page_size"), ("/sort", "invalid_sort")]),
        ({"page_size": 1.5}, [("/page_size", "invalid_page_size")]),
        ({"fields": "event_id", "include": ["x"]}, [("/fields", "invalid_value"), ("/include", "unknown_field")]),
        ({"count": "all"}, [("/count", "invalid_count")]),
    ],
)
def test_what_is_wrong_is_named_at_its_place(body: Any, errors: list[tuple[str, str]]) -> None:
    assert refused(body) == errors


def test_a_filter_that_is_too_deep_is_refused_before_it_reaches_the_database() -> None:
    tree: Any = {"text": "a"}
    for _ in range(DEEPEST - 1):
        tree = {"not": tree}
    assert depth(parse({"filter": tree}).query.filter) == DEEPEST
    assert refused({"filter": {"not": tree}}) == [("/filter" + "/not" * DEEPEST, "too_deep")]


def test_a_filter_of_too_many_conditions_is_refused() -> None:
    half = {"or": [{"text": "a"}] * (MOST_CONDITIONS // 2)}
    assert depth(parse({"filter": {"and": [half, half]}}).query.filter) == 3
    assert refused({"filter": {"and": [half, half, {"text": "a"}]}}) == [("/filter/and/2", "too_many")]
    assert refused({"filter": {"or": [{"and": []}] * (MOST_CONDITIONS + 1)}}) == [("/filter/or", "too_many")]
    # Nothing counts as well.
    nothing: Any = {"or": [{"and": []}] * MOST_CONDITIONS}
    assert refused({"filter": {"or": [nothing, {"text": "a"}]}}) == [("/filter/or/1", "too_many")]


def test_a_filter_of_too_many_values_is_refused() -> None:
    full: list[Any] = [{"changed": "n", "old_in": list(range(MOST_VALUES)), "new_in": list(range(MOST_VALUES))}]
    full += [{"field": "object_pk", "in": list(map(str, range(MOST_VALUES)))}] * 3
    assert MOST_VALUES * 5 == MOST_VALUES_OF_TREE
    assert depth(parse({"filter": {"or": full}}).query.filter) == 2
    assert refused({"filter": {"or": [*full, {"changed": "n", "new": 1}]}}) == [("/filter/or/4", "too_many")]


@pytest.mark.parametrize("levels", [DEEPEST_VALUE, 460, 800])
def test_a_value_that_is_too_deep_is_refused(levels: int) -> None:
    for made in (lambda inner: [inner], lambda inner: {"a": inner}):
        value: Any = 1
        for _ in range(levels):
            value = made(value)
        assert refused({"filter": {"changed": "n", "new": value}}) == [("/filter/new", "too_deep")]
        assert refused({"filter": {"changed": "n", "new_in": [value]}}) == [("/filter/new_in", "too_deep")]


@given(TREES)
def test_a_tree_that_is_written_down_is_read_as_it_was(tree: Filter) -> None:
    assert search.read_filter(search.written(tree)) == tree


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["and", "not"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["and", "or", "not", "field", "in", "is", "changed", "old", "text"]), inner
            )
        ),
    )
)
def test_nothing_else_than_a_refusal_comes_of_any_filter(value: Any) -> None:
    try:
        asked = parse({"filter": value})
    except InvalidSearch as exc:
        pointers = [error["pointer"] for error in exc.pointed]
    else:
        assert depth(asked.query.filter) <= DEEPEST
        return
    assert all(pointer.startswith("/filter") for pointer in pointers)
