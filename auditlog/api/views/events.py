"""Events: lists, searches, single ones, and the values that are too large for them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.access.redaction import redacted
from auditlog.api import etags, parameters, search, serializers
from auditlog.api.problems import ContentPending, InvalidFilter
from auditlog.api.schema import FILTERS, KEPT, PAGE, PAGING, SEARCH_BODY, SEARCHED, SORTING
from auditlog.api.streams import streamed
from auditlog.api.views.base import PROBLEMS, TEXT, AuditView
from auditlog.api.views.lists import PageView
from auditlog.large_values import references
from auditlog.models import AuditLog
from auditlog.queries import contents, events


class EventList(PageView):
    """All events."""

    @extend_schema(operation_id="audit_events_list", parameters=[*FILTERS, *PAGING, *SORTING], responses=PAGE)
    def get(self, request: Request) -> Response:
        """Return the events of the last days or of the window asked for, newest first unless sorted otherwise."""
        asked = parameters.parse(
            request.query_params,
            known=parameters.LIST,
            now=timezone.now(),
            default_days=settings.AUDITLOG_DEFAULT_WINDOW_DAYS,
        )
        return self.page(request, asked)


class EventSearch(PageView):
    """All events, by a filter that is too long for an address, or that no address should show."""

    cost = 2

    @extend_schema(
        operation_id="audit_events_search",
        parameters=[OpenApiParameter("cursor", TEXT, description="Out of `next` or `previous`, with the same body.")],
        request=SEARCH_BODY,
        responses=SEARCHED,
    )
    def post(self, request: Request) -> Response:
        """Return the events that a filter tree chooses; follow `next` by POST with the same body."""
        if unknown := request.query_params.keys() - {"cursor"}:
            raise InvalidFilter({name[:100]: ("unknown_filter", "Known here: cursor.") for name in unknown})
        asked = search.parse(
            request.data,
            now=timezone.now(),
            default_days=settings.AUDITLOG_DEFAULT_WINDOW_DAYS,
            cursor=request.query_params.get("cursor"),
        )
        return self.page(request, asked, body=request.data)


class EventDetail(AuditView):
    """One event."""

    @extend_schema(
        operation_id="audit_event",
        parameters=[OpenApiParameter("event_id", OpenApiTypes.UUID, "path"), *KEPT],
        responses={
            (200, "application/json"): OpenApiResponse(
                serializers.EventDetailSerializer, "The event. It never changes: ask again with its ETag."
            ),
            304: OpenApiResponse(description="`If-None-Match` names the ETag."),
            **PROBLEMS,
        },
    )
    def get(self, request: Request, event_id: str) -> HttpResponseBase:
        """Return everything that is stored of an event."""
        self.no_parameters(request)
        event = self.event(event_id)
        shown = serializers.shown(redacted(event, self.rights), include=serializers.INCLUDED_FIELDS)
        return etags.answer(request, shown, rights=self.rights)

    def event(self, event_id: str) -> AuditLog:
        """
        Return the event of an address.

        :raises Http404: where it is absent, or not for this caller.
        """
        self.note(rows=0, asked={"event_id": event_id[:100]})
        try:
            event = events.one(uuid.UUID(event_id), self.rights)
        except ValueError as exc:
            raise Http404 from exc
        if event is None:
            raise Http404
        self.note(rows=1)
        return event


class EventValue(EventDetail):
    """A value that is too large for its event."""

    @extend_schema(
        operation_id="audit_event_value",
        parameters=[
            OpenApiParameter("event_id", OpenApiTypes.UUID, "path"),
            OpenApiParameter("sha256", TEXT, "path", description="`$ref` of a reference in this event."),
            *KEPT,
        ],
        responses={
            (200, "application/json"): OpenApiResponse(
                OpenApiTypes.ANY, "The value. The SHA-256 of these bytes is `sha256`, which is the ETag as well."
            ),
            304: OpenApiResponse(description="`If-None-Match` names the ETag."),
            **PROBLEMS,
        },
    )
    def get(self, request: Request, event_id: str, sha256: str) -> HttpResponseBase:  # type: ignore[override]
        """Return the value that a reference of an event stands for, byte by byte."""
        self.no_parameters(request)
        event = redacted(self.event(event_id), self.rights)
        found = references(before=event.before, after=event.after, m2m=event.m2m, data=event.data)
        if sha256 not in {reference.sha256 for reference in found}:
            raise Http404
        content = contents.find(sha256)
        if content is None:
            raise ContentPending
        return streamed(request._request, content, etag=f'"{sha256}"')
