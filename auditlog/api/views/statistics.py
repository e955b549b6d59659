"""Statistics: how many events, over time and by what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.api import parameters, serializers
from auditlog.api.asked import Asked, Refused
from auditlog.api.problems import InvalidFilter
from auditlog.api.schema import FILTERS, WINDOW
from auditlog.api.search import written
from auditlog.api.views.base import PROBLEMS, TEXT, AuditView
from auditlog.queries import statistics
from auditlog.queries.buckets import Buckets, TooManyBuckets, Width, buckets
from auditlog.queries.statistics import Dimension, Facet, Total

KNOWN = parameters.FILTERS | {"from", "to"}
WIDTHS, DIMENSIONS = [str(width) for width in Width], [str(dimension) for dimension in Dimension]
DEFAULT_LIMIT, LARGEST_LIMIT = 10, 100
MOST_FACETS = 6
UTC_NAME = "UTC"
UTC_ZONE: tzinfo = UTC
LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT},
    description=f"Values of each dimension; {DEFAULT_LIMIT} by default.",
)
T = TypeVar("T")


class StatisticsView(AuditView):
    """A resource that counts the events of a window."""

    cost = 5

    def asked(self, request: Request, *own: str) -> Asked:
        """
        Return the filter and the window of a request that has parameters of its own as well.

        :raises InvalidFilter: naming every parameter that is wrong.
        """
        asked = parameters.parse(
            request.query_params,
            known=KNOWN.union(own),
            now=timezone.now(),
            default_days=settings.AUDITLOG_DEFAULT_WINDOW_DAYS,
            members=DIMENSIONS,
        )
        bounds = {"from": asked.query.since, "to": asked.query.until}
        noted = {name: at.isoformat() for name, at in bounds.items() if at is not None}
        chosen = {name: request.query_params[name] for name in own if name in request.query_params}
        self.note(rows=0, asked={"filter": written(asked.query.filter), **noted, **chosen})
        return asked

    def answer(self, asked: Asked, total: Total, members: dict[str, Any]) -> Response:
        """Return an answer: its own members, and how they were counted."""
        count = {"value": total.events, "kind": str(total.kind), "counted_from": total.since}
        return Response(
            {
                **members,
                "count": serializers.CountedSerializer(count).data,
                "source": str(total.source),
                "window": serializers.shown_window(asked.applied),
                "policy_filters": list(self.rights.policy_filters),
            }
        )


class EventHistogram(StatisticsView):
    """Events over time."""

    @extend_schema(
        operation_id="audit_stats_histogram",
        parameters=[
            OpenApiParameter("bucket", {"type": "string", "enum": WIDTHS}, description="`auto` by default."),
            OpenApiParameter("tz", TEXT, description="Time zone of the buckets, by its IANA name; `UTC` by default."),
            *FILTERS,
            *WINDOW,
        ],
        responses={(200, "application/json"): serializers.HistogramSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """Return how many events there are in each bucket, also where there are none."""
        asked = self.asked(request, "bucket", "tz")
        width = _read(request, "bucket", _member(Width, "invalid_bucket"), Width.AUTO)
        zone = _read(request, "tz", _zone, UTC_ZONE)
        found = statistics.histogram(asked.query, self.rights, _buckets(asked, width, zone))
        ends = [*found.buckets.starts[1:], found.buckets.end]
        spans = zip(found.buckets.starts, ends, found.counts, strict=True)
        return self.answer(
            asked,
            found.total,
            {
                "bucket": str(found.buckets.width),
                "tz": request.query_params.get("tz", UTC_NAME),
                "buckets": [
                    {"from": start.astimezone(zone).isoformat(), "to": end.astimezone(zone).isoformat(), "count": count}
                    for start, end, count in spans
                ],
            },
        )


class TopValues(StatisticsView):
    """The most frequent values of one dimension."""

    @extend_schema(
        operation_id="audit_stats_top",
        parameters=[
            OpenApiParameter("by", {"type": "string", "enum": DIMENSIONS}, required=True),
            LIMIT,
            *FILTERS,
            *WINDOW,
        ],
        responses={(200, "application/json"): serializers.TopSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """Return the values that most events have."""
        asked = self.asked(request, "by", "limit")
        if "by" not in request.query_params:
            raise InvalidFilter({"by": ("required", f"Write one of {', '.join(DIMENSIONS)}.")})
        by = _read(request, "by", _member(Dimension, "invalid_dimension"), Dimension.ACTOR)
        limit = _read(request, "limit", _limit, DEFAULT_LIMIT)
        found = statistics.facets(asked.query, self.rights, [by], limit=limit)
        facet = found.facets[by]
        actors = [value for value, _ in facet.found if value is not None] if by is Dimension.ACTOR else []
        names = statistics.actor_names(asked.query, self.rights, actors)
        return self.answer(asked, found.total, {"by": str(by), **_shown(facet, names)})


class EventFacets(StatisticsView):
    """What events have in common, in several dimensions at once."""

    @extend_schema(
        operation_id="audit_stats_facets",
        parameters=[
            OpenApiParameter(
                "fields",
                TEXT,
                required=True,
                description=f"1 to {MOST_FACETS} of {', '.join(DIMENSIONS)}, with commas.",
            ),
            LIMIT,
            *FILTERS,
            *WINDOW,
        ],
        responses={(200, "application/json"): serializers.FacetsSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        """Return the most frequent values of each dimension, all counted at the same moment."""
        asked = self.asked(request, "fields", "limit")
        if asked.fields is None:
            raise InvalidFilter({"fields": ("required", f"Write some of {', '.join(DIMENSIONS)}.")})
        if len(asked.fields) > MOST_FACETS:
            raise InvalidFilter({"fields": ("too_many", f"Write at most {MOST_FACETS} fields.")})
        dimensions = [Dimension(name) for name in asked.fields]
        limit = _read(request, "limit", _limit, DEFAULT_LIMIT)
        found = statistics.facets(asked.query, self.rights, dimensions, limit=limit)
        return self.answer(
            asked,
            found.total,
            {"facets": {str(dimension): _shown(facet, {}) for dimension, facet in found.facets.items()}},
        )


def _shown(facet: Facet, names: dict[str, str | None]) -> dict[str, Any]:
    return {
        "results": [
            {"value": value, "name": names.get(value) if value is not None else None, "count": count}
            for value, count in facet.found
        ],
        "values": facet.values,
        "others": facet.others,
    }


def _read(request: Request, name: str, read: Callable[[str], T], otherwise: T) -> T:
    try:
        return read(request.query_params[name]) if name in request.query_params else otherwise
    except Refused as exc:
        raise InvalidFilter({name: exc.wrong}) from exc


def _member(vocabulary: Callable[[str], T], code: str) -> Callable[[str], T]:
    def read(text: str) -> T:
        try:
            return vocabulary(text)
        except ValueError as exc:
            raise Refused(code, f"Write one of {', '.join(map(str, vocabulary))}.") from exc  # type: ignore[call-overload]

    return read


def _limit(text: str) -> int:
    if (
        not text.isascii()
        or not text.isdigit()
        or len(text) > len(str(LARGEST_LIMIT))
        or not 1 <= int(text) <= LARGEST_LIMIT
    ):
        raise Refused("invalid_limit", f"Write a number from 1 to {LARGEST_LIMIT}.")
    return int(text)


def _zone(name: str) -> tzinfo:
    try:
        return UTC_ZONE if name == UTC_NAME else ZoneInfo(name)
    # A name may also be a folder of the system's data, or lead out of it.
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise Refused("invalid_tz", "Write the name of a time zone, as Europe/Vienna.") from exc


def _buckets(asked: Asked, width: Width, zone: tzinfo) -> Buckets:
    since, until = asked.query.since, asked.query.until
    assert since is not None  # noqa: S101 - a default applies
    assert until is not None  # noqa: S101
    try:
        return buckets(since, until, width=width, zone=zone)
    except TooManyBuckets as exc:
        raise InvalidFilter({"bucket": ("too_many_buckets", str(exc))}) from exc
