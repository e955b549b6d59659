"""Actors: what one of them did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404
from django.utils import timezone
from django.utils.dateparse import parse_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.api import activities, parameters
from auditlog.api.asked import EARLIEST, LATEST, REQUESTED, Asked, Window
from auditlog.api.problems import InvalidFilter
from auditlog.api.schema import PAGING
from auditlog.api.views.base import PROBLEMS, TEXT
from auditlog.api.views.lists import PageView
from auditlog.queries.actors import NEEDED, activity, acts_of, beginning, days_between
from auditlog.queries.compiler import Query
from auditlog.queries.events import Page
from auditlog.queries.filters import conjoined

LONGEST_DAYS = 31
KNOWN = frozenset({"date", "timezone", "action", "category", "model", *parameters.PAGING})
ACTOR = OpenApiParameter("actor_id", TEXT, "path", description="The id of who acted, as events have it.")
DAY = [
    OpenApiParameter("date", OpenApiTypes.DATE, description="One day, instead of `from` and `to`; today by default."),
    OpenApiParameter("timezone", TEXT, description="Where days begin: a name like `Europe/Oslo`; `UTC` by default."),
    OpenApiParameter("action", TEXT, many=True),
    OpenApiParameter("category", TEXT, many=True),
    OpenApiParameter("model", TEXT),
]


class ActorActivity(PageView):
    """What one actor did."""

    cost = 2
    needed = NEEDED

    @extend_schema(
        operation_id="audit_actor_activity",
        parameters=[ACTOR, *DAY, *PAGING],
        responses={(200, "application/json"): activities.ActivityPageSerializer, **PROBLEMS},
    )
    def get(self, request: Request, actor_id: str) -> Response:
        """
        Return what an actor did on a day or in a window, newest first, what was tried under the name included.

        The first page adds it up by day and session.
        """
        if "\x00" in actor_id:
            raise Http404
        now = timezone.now()
        asked = parameters.parse(request.query_params, known=KNOWN, now=now, default_days=None)
        zone = _zone(request)
        asked = _within(asked, _window(request, asked, zone, now))
        pinned = self.pinned(request, asked)
        wanted = conjoined(acts_of(actor_id, self.rights, pinned=pinned), asked.query.filter)
        query = replace(asked.query, filter=wanted, pinned=pinned)
        answer, page = self.page_and_events(request, replace(asked, query=query))
        summary = self._summary(asked, query, zone, page)
        answer.data |= {"actor_id": actor_id, "timezone": str(zone), "summary": summary}
        return answer

    def _summary(self, asked: Asked, query: Query, zone: tzinfo, page: Page) -> dict[str, Any] | None:
        window = asked.window
        if asked.cursor is not None or window.since is None or window.until is None:
            return None
        days = days_between(window.since, window.until, zone=zone)
        return activities.shown_activity(activity(query, self.rights, days=days, zone=zone, page=page))


def _zone(request: Request) -> tzinfo:
    name = request.query_params.get("timezone", str(UTC))
    try:
        # Known also where no time zone database is installed.
        return UTC if name == str(UTC) else ZoneInfo(name)
    # Names of files that are none, folders among them; ValueError: a name that leads out of the database.
    except (KeyError, OSError, ValueError) as exc:
        raise InvalidFilter({"timezone": ("invalid_timezone", "Write a name as Europe/Oslo.")}) from exc


def _window(request: Request, asked: Asked, zone: tzinfo, now: datetime) -> Window:
    given = request.query_params.get("date")
    if given is None and (asked.window.since or asked.window.until):
        return _bounded(asked.window, now)
    if given is not None and (asked.window.since or asked.window.until):
        raise InvalidFilter({"date": ("invalid_window", "Give a date, or `from` and `to`.")})
    day = now.astimezone(zone).date() if given is None else _date(given)
    begins, ends = (beginning(one, zone=zone) for one in (day, day + timedelta(days=1)))
    return Window(begins, ends, "default-day" if given is None else REQUESTED)


def _bounded(window: Window, now: datetime) -> Window:
    until = window.until or now
    since = window.since or until - timedelta(days=LONGEST_DAYS)
    if since >= until:
        raise InvalidFilter({"from": ("invalid_window", "`from` is in the future: give `to` as well.")})
    if until - since > timedelta(days=LONGEST_DAYS):
        raise InvalidFilter({"from": ("invalid_window", f"At most {LONGEST_DAYS} days at once.")})
    return Window(since, until, REQUESTED)


def _date(text: str) -> date:
    try:
        day = parse_date(text)
        if day is not None and EARLIEST.date() < day < LATEST.date():
            return day
    except ValueError:
        pass
    raise InvalidFilter({"date": ("invalid_date", "Write a day as 2026-11-23.")})


def _within(asked: Asked, window: Window) -> Asked:
    return replace(asked, window=window, query=replace(asked.query, since=window.since, until=window.until))
