"""Buckets follow the calendar of their zone, without a gap, also where its clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.queries.buckets import Buckets, TooManyBuckets, Width, buckets, nearest_hour
from tests.unit.consumers.builders import LAW

VIENNA, CAIRO, KOLKATA = ZoneInfo("Europe/Vienna"), ZoneInfo("Africa/Cairo"), ZoneInfo("Asia/Kolkata")


def at(text: str) -> datetime:
    """Return an instant of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_day_has_25_hours_where_the_clocks_go_back() -> None:
    found = buckets(at("2026-10-24T12:00"), at("2026-10-26T12:00"), width=Width.DAY, zone=VIENNA)
    assert found.starts == (at("2026-10-23T22:00"), at("2026-10-24T22:00"), at("2026-10-25T23:00"))
    assert found.end == at("2026-10-26T23:00")
    hours = buckets(at("2026-10-24T22:00"), at("2026-10-25T23:00"), width=Width.HOUR, zone=VIENNA)
    assert len(hours.starts) == 25


def test_a_midnight_that_the_clocks_leave_out_is_the_moment_of_the_change() -> None:
    # 2024-04-26 began at 01:00 in Cairo.
    found = buckets(at("2024-04-25T12:00"), at("2024-04-26T12:00"), width=Width.DAY, zone=CAIRO)
    assert found.starts == (at("2024-04-24T22:00"), at("2024-04-25T22:00"))
    assert found.starts[1].astimezone(CAIRO).isoformat() == "2024-04-26T01:00:00+03:00"


def test_a_day_that_the_calendar_left_out_is_no_bucket() -> None:
    # There was no 30th of December 2011 in Apia.
    found = buckets(at("2011-12-29T12:00"), at("2012-01-01T09:00"), width=Width.DAY, zone=ZoneInfo("Pacific/Apia"))
    assert found.starts == (at("2011-12-29T10:00"), at("2011-12-30T10:00"), at("2011-12-31T10:00"))


def test_weeks_begin_on_monday_and_months_on_their_first_day() -> None:
    weeks = buckets(at("2026-11-25T10:00"), at("2026-11-30T00:00"), width=Width.WEEK, zone=UTC)
    assert (weeks.starts, weeks.end) == ((at("2026-11-23T00:00"),), at("2026-11-30T00:00"))
    months = buckets(at("2025-12-31T23:59"), at("2026-02-01T00:00"), width=Width.MONTH, zone=UTC)
    assert months.starts == (at("2025-12-01T00:00"), at("2026-01-01T00:00"))


def test_hours_of_utc_belong_to_one_bucket_only_where_the_zone_is_whole_hours_away() -> None:
    window = (at("2026-11-01T00:00"), at("2026-11-03T00:00"))
    assert buckets(*window, width=Width.DAY, zone=VIENNA).are_whole_hours
    assert not buckets(*window, width=Width.DAY, zone=KOLKATA).are_whole_hours
    assert not buckets(*window, width=Width.HOUR, zone=KOLKATA).are_whole_hours


@pytest.mark.parametrize(("days", "width"), [(1, Width.HOUR), (30, Width.DAY), (365, Width.WEEK), (2_000, Width.MONTH)])
def test_the_width_suits_the_window_where_it_is_left_to_us(days: int, width: Width) -> None:
    since = at("2020-01-01T00:00")
    assert buckets(since, since + timedelta(days=days), width=Width.AUTO, zone=UTC).width is width


def test_no_window_makes_endless_buckets() -> None:
    since = at("2026-01-01T00:00")
    assert len(buckets(since, since + timedelta(hours=1_000), width=Width.HOUR, zone=UTC).starts) == 1_000
    with pytest.raises(TooManyBuckets, match="choose a wider one"):
        buckets(since, since + timedelta(hours=1_000, microseconds=1), width=Width.HOUR, zone=UTC)
    with pytest.raises(TooManyBuckets):
        buckets(at("1971-01-01T00:00"), at("9000-01-01T00:00"), width=Width.AUTO, zone=VIENNA)


@LAW
@given(
    since=st.integers(365 * 86_400, 2**31 - 1).map(lambda second: datetime.fromtimestamp(second, UTC)),
    hours=st.floats(0.001, 900),
    width=st.sampled_from([Width.HOUR, Width.DAY, Width.WEEK, Width.MONTH]),
    name=st.sampled_from(
        ["UTC", "Europe/Vienna", "Africa/Cairo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
    ),
)
def test_buckets_cover_the_window_in_order(since: datetime, hours: float, width: Width, name: str) -> None:
    until = since + timedelta(hours=hours)
    found: Buckets = buckets(since, until, width=width, zone=ZoneInfo(name))
    assert found.starts[0] <= since < until <= found.end
    ends = [*found.starts[1:], found.end]
    assert all(start < end for start, end in zip(found.starts, ends, strict=True))
    assert all(start < until for start in found.starts)
    assert all(end > since for end in ends)


@pytest.mark.parametrize(
    ("minute", "now", "hour"),
    [
        ("12:00", "20:00", "12:00"),
        ("12:30", "20:00", "12:00"),
        ("12:31", "20:00", "13:00"),
        # The present hour has nothing after now, which is where most windows end.
        ("12:05", "12:05", "13:00"),
        ("12:05", "12:09", "13:00"),
        ("12:05", "12:30", "12:00"),
        ("12:00", "12:00", "12:00"),
        ("12:00", "11:30", "12:00"),
        ("12:01", "11:30", "13:00"),
    ],
)
def test_the_nearest_hour_is_where_the_fewer_events_are_between(minute: str, now: str, hour: str) -> None:
    found = nearest_hour(at(f"2026-11-25T{minute}"), now=at(f"2026-11-25T{now}"))
    assert found == at(f"2026-11-25T{hour}")
