"""Query parameters are understood or refused by name, whatever they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from auditlog.api import parameters
from auditlog.api.parameters import Parameters
from auditlog.api.problems import InvalidFilter
from auditlog.queries.events import EventFilter

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def parse(query: str, *, default_days: int | None = 30) -> Parameters:
    return parameters.parse(QueryDict(query), known=parameters.LIST, now=NOW, default_days=default_days)


def test_without_a_window_the_last_days_apply() -> None:
    assert parse("") == Parameters(
        EventFilter(since=NOW - timedelta(days=30), until=NOW), page_size=100, cursor=None, applied="default-30-days"
    )


def test_without_a_window_and_a_default_everything_applies() -> None:
    assert parse("", default_days=None) == Parameters(EventFilter(), page_size=100, cursor=None, applied="all")


def test_every_parameter_is_understood() -> None:
    query = (
        "model=doctors.doctor&object_pk=17&action=update,create&action=delete&actor=7&request_id=r"
        "&from=2026-11-01T01:00:00%2B01:00&to=2026-11-02T00:00:00.5Z&page_size=1000&cursor=x"
    )
    wanted = EventFilter(
        model="doctors.doctor",
        object_pk="17",
        actions=("create", "delete", "update"),
        actor="7",
        request_id="r",
        since=datetime(2026, 11, 1, tzinfo=UTC),
        until=datetime(2026, 11, 2, 0, 0, 0, 500_000, tzinfo=UTC),
    )
    assert parse(query) == Parameters(wanted, page_size=1_000, cursor="x", applied="requested")


@pytest.mark.parametrize("query", ["from=2026-11-25T12:00:00Z", "from=2027-01-01T00:00:00Z"])
def test_a_window_in_the_future_is_refused_rather_than_empty(query: str) -> None:
    with pytest.raises(InvalidFilter) as raised:
        parse(query)
    assert list(raised.value.detail) == ["from"]
    assert parse(f"{query}&to=2028-01-01T00:00:00Z").applied == "requested"


def test_the_earliest_end_has_a_window_too() -> None:
    assert parse("to=1971-01-01T00:00:00Z").wanted.since == parameters.EARLIEST


@given(
    st.dictionaries(
        st.sampled_from(sorted(parameters.LIST)) | st.text(max_size=5),
        st.text(max_size=40) | st.datetimes().map(str) | st.integers().map(str),
        max_size=5,
    )
)
def test_nothing_else_than_a_named_refusal_comes_of_any_query(given_values: dict[str, str]) -> None:
    query = QueryDict(mutable=True)
    query.update(given_values)
    try:
        understood = parameters.parse(query, known=parameters.LIST, now=NOW, default_days=30)
    except InvalidFilter as exc:
        refused = exc
    else:
        assert set(given_values) <= parameters.LIST
        assert understood.wanted.since is not None
        assert understood.wanted.until is not None
        assert understood.wanted.since <= understood.wanted.until
        return
    assert set() < set(refused.detail) <= set(given_values)
