"""Spans of a histogram: hours, days, weeks and months as a time zone has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import assert_never

from auditlog.errors import AuditlogError

HOUR = timedelta(hours=1)
MOST_BUCKETS = 1_000
# Up to how long a window may be for the finer buckets, where the caller lets us choose.
HOURLY, DAILY, WEEKLY = timedelta(days=3), timedelta(days=92), timedelta(days=750)


class Width(StrEnum):
    """How long a bucket is, on the calendar of the time zone."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # from Monday on
    MONTH = "month"
    AUTO = "auto"  # the finest that is not too fine for the window


class TooManyBuckets(AuditlogError):
    """The window has too many buckets of this width: choose a wider one, or a shorter window."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Instants (UTC) at which buckets begin, and the end of the last one; the first and the last may stick out."""

    width: Width
    starts: tuple[datetime, ...]
    end: datetime

    @property
    def are_whole_hours(self) -> bool:
        """Tell whether no hour of UTC belongs to two buckets."""
        return all(start.minute == start.second == start.microsecond == 0 for start in self.starts)


def buckets(since: datetime, until: datetime, *, width: Width, zone: tzinfo) -> Buckets:
    """
    Return the buckets that a window touches, without a gap.

    A day is from one midnight to the next, so 23 or 25 hours where clocks change; hours are always 60 minutes.

    :raises TooManyBuckets: if these are more than MOST_BUCKETS.
    """
    if width is Width.AUTO:
        width = _suitable(until - since)
    starts: list[datetime] = []
    for start in _starts(since, width, zone):
        if starts and start == starts[-1]:
            # A day that the zone left out, when it went over to the other side of the date line.
            continue
        if start >= until:
            return Buckets(width, tuple(starts), start)
        if len(starts) == MOST_BUCKETS:
            break
        starts.append(start)
    raise TooManyBuckets


def nearest_hour(at: datetime, *, now: datetime) -> datetime:
    """
    Return the full hour (UTC) from which the fewer events are expected up to an instant, or from it on.

    By the time between, of which that to come has hardly any: of the present hour it is the next one.
    """
    start = at.replace(minute=0, second=0, microsecond=0)
    end = start + HOUR
    return end if start < at and at - start > min(end, now) - at else start


def _suitable(span: timedelta) -> Width:
    for width, longest in ((Width.HOUR, HOURLY), (Width.DAY, DAILY), (Width.WEEK, WEEKLY)):
        if span <= longest:
            return width
    return Width.MONTH


def _starts(since: datetime, width: Width, zone: tzinfo) -> Iterator[datetime]:
    local = since.astimezone(zone)
    if width is Width.HOUR:
        start = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        while True:
            yield start
            start += HOUR
    day = _first_day(local.date(), width)
    while True:
        # A midnight that a change of the clocks leaves out is the moment of the change.
        yield datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        day = _next_day(day, width)


def _first_day(day: date, width: Width) -> date:
    match width:
        case Width.WEEK:
            return day - timedelta(days=day.weekday())
        case Width.MONTH:
            return day.replace(day=1)
        case _:
            return day


def _next_day(day: date, width: Width) -> date:
    match width:
        case Width.DAY:
            return day + timedelta(days=1)
        case Width.WEEK:
            return day + timedelta(days=7)
        case Width.MONTH:
            return date(day.year + day.month // 12, day.month % 12 + 1, 1)
        case Width.HOUR | Width.AUTO:
            raise ValueError(width)
        case _:
            assert_never(width)
