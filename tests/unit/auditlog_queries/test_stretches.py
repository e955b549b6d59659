"""Long windows are read in stretches, which together are the window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.queries.compiler import Query
from auditlog.queries.filters import EVERYTHING, Changed, Either, Field, Filter, Is, Not, conjoined
from auditlog.queries.stretches import stretches

BY_ACTOR = Is(Field.ACTOR, ("7",))
OF_PATIENT = Is(Field.SUBJECT, ("doctors.patient:17",))


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def windows(query: Query, *, start: datetime | None, descending: bool = True) -> list[tuple[str | None, str | None]]:
    return [(text(part.since), text(part.until)) for part in stretches(query, start=start, descending=descending)]


def text(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d}"


def test_two_years_are_a_month_then_half_a_year_then_the_rest() -> None:
    two_years = Query(BY_ACTOR, day("2024-11-20"), day("2026-11-20"))
    assert windows(two_years, start=day("2026-11-20")) == [
        ("2026-11-01", "2026-11-20"),
        ("2026-05-01", "2026-11-01"),
        ("2024-11-20", "2026-05-01"),
    ]
    assert windows(two_years, start=day("2024-11-20"), descending=False) == [
        ("2024-11-20", "2024-12-01"),
        ("2024-12-01", "2025-06-01"),
        ("2025-06-01", "2026-11-20"),
    ]


def test_a_page_that_begins_deep_in_the_window_begins_with_the_month_of_its_place() -> None:
    two_years = Query(EVERYTHING, day("2024-11-20"), day("2026-11-20"))
    assert windows(two_years, start=day("2025-09-15")) == [
        ("2025-09-01", "2026-11-20"),
        ("2025-03-01", "2025-09-01"),
        ("2024-11-20", "2025-03-01"),
    ]


def test_a_window_without_bounds_ends_without_bounds() -> None:
    assert windows(Query(), start=day("2026-03-20")) == [
        ("2026-03-01", None),
        ("2025-09-01", "2026-03-01"),
        (None, "2025-09-01"),
    ]
    assert windows(Query(), start=None, descending=False) == [(None, None)]


def test_thirty_days_are_one_stretch_wherever_months_begin() -> None:
    for number in range(31):
        end = day("2026-11-01") + timedelta(days=number)
        assert len(windows(Query(EVERYTHING, end - timedelta(days=30), end), start=end)) == 1


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (OF_PATIENT, 1),
        (conjoined(BY_ACTOR, OF_PATIENT), 1),
        (conjoined(BY_ACTOR, Changed("is_active")), 3),
        (Not(OF_PATIENT), 3),
        (Either((BY_ACTOR, OF_PATIENT)), 3),
    ],
)
def test_what_has_few_rows_is_found_by_one_statement(wanted: Filter, count: int) -> None:
    query = Query(wanted, day("2024-11-20"), day("2026-11-20"))
    assert len(windows(query, start=day("2026-11-20"))) == count


instants = st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


@given(instants, instants, instants, st.booleans())
def test_stretches_are_the_window_without_a_gap_and_without_an_overlap(
    since: datetime, until: datetime, start: datetime, descending: bool
) -> None:
    found = list(stretches(Query(EVERYTHING, since, until), start=start, descending=descending))
    ordered = found[::-1] if descending else found
    assert (ordered[0].since, ordered[-1].until) == (since, until)
    assert [part.until for part in ordered[:-1]] == [part.since for part in ordered[1:]]
