"""The resources of the audit API."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditlog.api import cursors, parameters, serializers
from auditlog.api.problems import ContentPending
from auditlog.api.renderers import ExactJSONRenderer
from auditlog.api.streams import streamed
from auditlog.large_values import references
from auditlog.models import AuditLog
from auditlog.queries import contents, events
from auditlog.queries.events import Order, Page, Position

PROBLEMS = {(status, "application/problem+json"): serializers.ProblemSerializer for status in (400, 401, 403, 404, 503)}
TEXT = OpenApiTypes.STR
PAGING = [
    OpenApiParameter("action", TEXT, many=True, description="Repeated or separated by commas."),
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="From this time on; needs an offset."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Up to and without this time; needs an offset."),
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": parameters.LARGEST_PAGE_SIZE},
        description=f"{parameters.DEFAULT_PAGE_SIZE} by default.",
    ),
    OpenApiParameter("cursor", TEXT, description="Out of `next` or `previous`; bound to the filters and the caller."),
]
FILTERS = [OpenApiParameter(name, TEXT) for name in ("model", "object_pk", "actor", "request_id")]
OBJECT = [
    OpenApiParameter("model", TEXT, "path", description="`app_label.model`"),
    OpenApiParameter("object_pk", TEXT, "path", description="Percent-encoded; a composite key as a JSON array."),
]
PAGE = {(200, "application/json"): serializers.EventPageSerializer, **PROBLEMS}


class MayViewAuditLog(BasePermission):
    """The auditors' permission, `auditlog.view_auditlog`."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the framework's signature
        """Say whether the caller is an auditor."""
        return request.user.has_perm("auditlog.view_auditlog")


class AuditView(APIView):
    """A resource for auditors."""

    permission_classes = [MayViewAuditLog]
    renderer_classes = [ExactJSONRenderer]

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep answers out of every cache: the next reader may not be an auditor."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer


class EventList(AuditView):
    """All events."""

    @extend_schema(operation_id="audit_events_list", parameters=[*FILTERS, *PAGING], responses=PAGE)
    def get(self, request: Request) -> Response:
        """Return the events of the last days or of the window asked for, newest first."""
        asked = parameters.parse(
            request.query_params,
            known=parameters.LIST,
            now=timezone.now(),
            default_days=settings.AUDITLOG_DEFAULT_WINDOW_DAYS,
        )
        return _answer(request, asked, Order.TIME)


class ObjectTimeline(AuditView):
    """The life of one object."""

    @extend_schema(operation_id="audit_object_timeline", parameters=[*OBJECT, *PAGING], responses=PAGE)
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return the events of an object in the order of their commits, newest first; its whole life by default."""
        query = request.query_params
        asked = parameters.parse(query, known=parameters.TIMELINE, now=timezone.now(), default_days=None)
        if "\x00" in object_pk or not _exists(model):
            raise Http404
        wanted = replace(asked.wanted, model=model, object_pk=object_pk)
        return _answer(request, replace(asked, wanted=wanted), Order.SEQUENCE)


class EventDetail(AuditView):
    """One event."""

    @extend_schema(
        operation_id="audit_event",
        parameters=[OpenApiParameter("event_id", OpenApiTypes.UUID, "path")],
        responses={(200, "application/json"): serializers.EventDetailSerializer, **PROBLEMS},
    )
    def get(self, request: Request, event_id: str) -> Response:
        """Return everything that is stored of an event."""
        return Response(serializers.EventDetailSerializer(_event(request, event_id)).data)


class EventValue(AuditView):
    """A value that is too large for its event."""

    @extend_schema(
        operation_id="audit_event_value",
        parameters=[
            OpenApiParameter("event_id", OpenApiTypes.UUID, "path"),
            OpenApiParameter("sha256", TEXT, "path", description="`$ref` of a reference in this event."),
        ],
        responses={
            (200, "application/json"): OpenApiResponse(
                OpenApiTypes.ANY, "The value. The SHA-256 of these bytes is `sha256`, which is the ETag as well."
            ),
            304: OpenApiResponse(description="`If-None-Match` names the ETag."),
            **PROBLEMS,
        },
    )
    def get(self, request: Request, event_id: str, sha256: str) -> HttpResponseBase:
        """Return the value that a reference of an event stands for, byte by byte."""
        event = _event(request, event_id)
        found = references(before=event.before, after=event.after, m2m=event.m2m, data=event.data)
        if sha256 not in {reference.sha256 for reference in found}:
            raise Http404
        content = contents.find(sha256)
        if content is None:
            raise ContentPending
        return streamed(request._request, content, etag=f'"{sha256}"')


def _event(request: Request, event_id: str) -> AuditLog:
    parameters.parse(request.query_params, known=frozenset(), now=timezone.now(), default_days=None)
    try:
        event = events.one(uuid.UUID(event_id))
    except ValueError as exc:
        raise Http404 from exc
    if event is None:
        raise Http404
    return event


def _exists(model: str) -> bool:
    if not parameters.MODEL.fullmatch(model):
        return False
    try:
        apps.get_model(model)
    except LookupError:
        return events.has_model(model)
    return True


def _answer(request: Request, asked: parameters.Parameters, order: Order) -> Response:
    wanted, position = asked.wanted, None
    bound_to = cursors.binding(path=request.path, query=request.query_params, principal=request.user.pk)
    if asked.cursor is not None:
        position, since, until = cursors.decode(asked.cursor, bound_to=bound_to, order=order)
        wanted = replace(wanted, since=since, until=until)
    page = events.page(wanted=wanted, order=order, size=asked.page_size, position=position)

    def link(event: AuditLog, *, newer: bool) -> str:
        place = Position(getattr(event, order), event.event_id, newer)
        query = request.query_params.copy()
        query["cursor"] = cursors.encode(place, bound_to=bound_to, since=wanted.since, until=wanted.until)
        return f"{request.build_absolute_uri(request.path)}?{query.urlencode()}"

    body = _body(page, link)
    window = {"from": wanted.since, "to": wanted.until, "applied": asked.applied}
    return Response({**body, "window": serializers.WindowSerializer(window).data, "count": None})


def _body(page: Page, link: Any) -> dict[str, Any]:
    found = page.events
    return {
        "results": serializers.EventSerializer(found, many=True).data,
        "next": link(found[-1], newer=False) if found and page.has_older else None,
        "previous": link(found[0], newer=True) if found and page.has_newer else None,
    }
