"""Places survive the way through a cursor, and only on the terms on which they were given out."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.api import cursors
from auditlog.api.cursors import Place
from auditlog.api.problems import InvalidCursor
from auditlog.queries.events import Position
from auditlog.queries.sorting import BY_SEQUENCE, BY_TIME, Sort

INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PATH = "/api/audit/v1/events/"
AUDITOR = Rights(principal="user:1", scopes=frozenset({Scope.READ}))
PLACE = Place(Position("1", uuid.UUID(int=1)), None, None, None)


@given(
    instant=INSTANTS,
    event_id=st.uuids(),
    backwards=st.booleans(),
    since=st.none() | INSTANTS,
    until=st.none() | INSTANTS,
)
def test_a_place_in_time_comes_back_exactly(
    instant: datetime, event_id: uuid.UUID, backwards: bool, since: datetime | None, until: datetime | None
) -> None:
    place = Place(Position(instant, event_id, backwards), since, until, None)

    assert cursors.decode(cursors.encode(place, bound_to="x"), bound_to="x", sort=BY_TIME, rights=AUDITOR) == place


@given(
    key=st.text().filter(lambda key: len(key.encode()) <= cursors.KEY_BYTES),
    name=st.sampled_from(["sequence", "actor", "model"]),
    event_id=st.uuids(),
    backwards=st.booleans(),
)
def test_a_place_in_another_order_comes_back_exactly(key: str, name: str, event_id: uuid.UUID, backwards: bool) -> None:
    place = Place(Position(key, event_id, backwards), None, None, None)

    assert cursors.decode(cursors.encode(place, bound_to="x"), bound_to="x", sort=Sort(name), rights=AUDITOR) == place


@pytest.mark.parametrize("first", ["!", "\u4e00", "\U00010000"])
def test_a_cursor_is_no_longer_for_a_long_key(first: str) -> None:
    long = "".join(chr(ord(first) + number * 7_919 % 94) for number in range(1_000))
    short, other = (
        cursors.encode(replace(PLACE, position=replace(PLACE.position, key=key)), bound_to="x") for key in ("1", long)
    )

    assert len(short) == len(other)


@given(st.text())
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode(text, bound_to="x", sort=BY_TIME, rights=AUDITOR)


def test_a_cursor_of_another_caller_is_none() -> None:
    cursor = cursors.encode(PLACE, bound_to="x")

    with pytest.raises(InvalidCursor):
        cursors.decode(cursor, bound_to="y", sort=BY_SEQUENCE, rights=AUDITOR)


def test_a_cursor_that_is_too_old_is_none(settings: Any) -> None:
    cursor = cursors.encode(PLACE, bound_to="x")
    assert cursors.decode(cursor, bound_to="x", sort=BY_SEQUENCE, rights=AUDITOR) == PLACE

    settings.AUDITLOG_CURSOR_SECONDS = -1
    with pytest.raises(InvalidCursor):
        cursors.decode(cursor, bound_to="x", sort=BY_SEQUENCE, rights=AUDITOR)


def test_a_cursor_is_bound_to_the_question_the_caller_and_their_rights() -> None:
    def bound(query: str, *, path: str = PATH, body: Any = None, rights: Rights = AUDITOR) -> str:
        return cursors.binding(path=path, query=QueryDict(query), body=body, rights=rights)

    original = bound("model=a.b&action=create&action=update")
    assert bound("action=update&action=create&model=a.b&page_size=5&cursor=x&fields=model") == original
    others = [
        bound("model=a.b&action=create"),
        bound("model=a.b&action=create&action=update&actor=1"),
        bound("model=a.b&action=create&action=update", path="/api/audit/v1/objects/a.b/1/timeline/"),
        bound("model=a.b&action=create&action=update", body={"filter": {"text": "a"}}),
        bound("model=a.b&action=create&action=update", body={"filter": {"text": "b"}}),
        bound("model=a.b&action=create&action=update", rights=replace(AUDITOR, principal="user:2")),
        bound("model=a.b&action=create&action=update", rights=replace(AUDITOR, models=frozenset({"a.b"}))),
    ]
    assert len({original, *others}) == 8
