"""Positions survive the way through a cursor, and only on the terms on which they were given out."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from auditlog.api import cursors
from auditlog.api.problems import InvalidCursor
from auditlog.queries.events import Order, Position

INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PATH = "/api/audit/v1/events/"


@given(
    instant=INSTANTS, event_id=st.uuids(), newer=st.booleans(), since=st.none() | INSTANTS, until=st.none() | INSTANTS
)
def test_a_position_in_time_comes_back_exactly(
    instant: datetime, event_id: uuid.UUID, newer: bool, since: datetime | None, until: datetime | None
) -> None:
    position = Position(instant, event_id, newer)
    cursor = cursors.encode(position, bound_to="x", since=since, until=until)

    assert cursors.decode(cursor, bound_to="x", order=Order.TIME) == (position, since, until)


@given(sequence=st.from_regex(r"[0-9A-F]{8}:[0-9]{20}", fullmatch=True), event_id=st.uuids(), newer=st.booleans())
def test_a_position_in_commit_order_comes_back_exactly(sequence: str, event_id: uuid.UUID, newer: bool) -> None:
    position = Position(sequence, event_id, newer)
    cursor = cursors.encode(position, bound_to="x", since=None, until=None)

    assert cursors.decode(cursor, bound_to="x", order=Order.SEQUENCE) == (position, None, None)


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode(text, bound_to="x", order=Order.TIME)


def test_a_cursor_of_another_caller_is_none() -> None:
    cursor = cursors.encode(Position("1", uuid.uuid4()), bound_to="x", since=None, until=None)

    with pytest.raises(InvalidCursor):
        cursors.decode(cursor, bound_to="y", order=Order.SEQUENCE)


def test_what_a_cursor_is_bound_to_is_the_path_the_caller_and_the_filters_in_any_order() -> None:
    def bound(query: str, *, path: str = PATH, principal: int = 1) -> str:
        return cursors.binding(path=path, query=QueryDict(query), principal=principal)

    original = bound("model=a.b&action=create&action=update")
    assert bound("action=update&action=create&model=a.b&page_size=5&cursor=x") == original
    others = [
        bound("model=a.b&action=create"),
        bound("model=a.b&action=create&action=update&actor=1"),
        bound("model=a.b&action=create&action=update", path="/api/audit/v1/objects/a.b/1/timeline/"),
        bound("model=a.b&action=create&action=update", principal=2),
    ]
    assert len({original, *others}) == 5
