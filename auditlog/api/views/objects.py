"""Objects: the life of one, what it was at an instant, who made it so, and who looked at it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.api import parameters, states
from auditlog.api.problems import Gone, InvalidFilter
from auditlog.api.schema import COUNT, FILTERS_OF_OBJECT, PAGE, PAGING, WINDOW
from auditlog.api.serializers import instant, shown_window
from auditlog.api.views.base import OBJECT, PROBLEMS, AuditView
from auditlog.api.views.lists import PageView
from auditlog.queries.filters import Field, Is, conjoined
from auditlog.queries.objects import MOST_VIEWERS, State, Subject, difference, state_at, viewers
from auditlog.queries.sorting import BY_SEQUENCE

AT = OpenApiParameter("at", OpenApiTypes.DATETIME, description="The instant, with an offset; now by default.")
FROM = OpenApiParameter(
    "from", OpenApiTypes.DATETIME, required=True, description="The earlier instant, with an offset."
)
TO = OpenApiParameter("to", OpenApiTypes.DATETIME, description="The later instant, with an offset; now by default.")
GONE = {(410, "application/problem+json"): states.GoneSerializer}


class ObjectTimeline(PageView):
    """The life of one object."""

    @extend_schema(
        operation_id="audit_object_timeline", parameters=[*OBJECT, *FILTERS_OF_OBJECT, *PAGING, COUNT], responses=PAGE
    )
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return the events of an object in the order of their commits, newest first; its whole life by default."""
        asked = parameters.parse(
            request.query_params,
            known=parameters.TIMELINE,
            now=timezone.now(),
            default_days=None,
            sort=BY_SEQUENCE,
        )
        self.check_object(model, object_pk)
        wanted = conjoined(Is(Field.MODEL, (model,)), Is(Field.OBJECT, (object_pk,)), asked.query.filter)
        return self.page(request, replace(asked, query=replace(asked.query, filter=wanted)))


class StateView(AuditView):
    """A question about what an object was."""

    cost = 2

    def subject(self, model: str, object_pk: str) -> Subject:
        """
        Return the object of an address.

        :raises PermissionDenied: for a caller who sees own acts only: out of these no state can be put together.
        :raises Http404: for an object that cannot be.
        """
        if self.rights.reads_own_only:
            raise PermissionDenied
        self.check_object(model, object_pk)
        return Subject(model, object_pk, self.rights)

    def state(self, request: Request, subject: Subject, at: datetime, *, with_links: bool) -> State:
        """
        Return what an object was at an instant.

        :raises Http404: where nothing is known of it then.
        :raises Gone: where it had been deleted.
        """
        self.note(rows=0, asked={**_named(subject), "at": at.isoformat()})
        state = state_at(subject, at, with_links=with_links)
        if state is None:
            raise Http404
        self.note(rows=1)
        if state.held is None:
            raise Gone(
                {
                    "event": states.shown_deed(state.deed),
                    "moved_to": self.moved(request, subject.model, state.moved_to),
                    "policy_filters": list(self.rights.policy_filters),
                }
            )
        return state

    def moved(self, request: Request, model: str, object_pk: str | None) -> dict[str, str] | None:
        """Return where the row is found under its other key."""
        if object_pk is None:
            return None
        address = reverse("audit-timeline", args=[model, object_pk])
        return {"object_pk": object_pk, "timeline": request.build_absolute_uri(address)}

    def shown(self, request: Request, subject: Subject, state: State, at: datetime) -> dict[str, Any]:
        """Return what is said of an object at an instant, but for its fields."""
        return {
            **_beginning(subject),
            "object_repr": state.object_repr,
            "at": instant(at),
            "event": states.shown_deed(state.deed),
            "is_before_the_log": state.is_before_the_log,
            "moved_from": self.moved(request, subject.model, state.moved_from),
        }


class ObjectAsOf(StateView):
    """What one object was."""

    @extend_schema(
        operation_id="audit_object_as_of",
        parameters=[*OBJECT, AT],
        responses={(200, "application/json"): states.AsOfSerializer, **GONE, **PROBLEMS},
    )
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return the fields and the links that an object had at an instant, each with the event that set it."""
        at = parameters.instants(request.query_params, "at")["at"] or timezone.now()
        subject = self.subject(model, object_pk)
        state = self.state(request, subject, at, with_links=True)
        values = state.held or {}
        return Response(
            {
                **self.shown(request, subject, state, at),
                "fields": states.shown_values(values, state.hidden),
                "memberships": states.shown_memberships(state.memberships),
                "redacted": states.redacted(values, state.memberships, state.hidden),
            }
        )


class ObjectBlame(StateView):
    """Who made one object what it was."""

    @extend_schema(
        operation_id="audit_object_blame",
        parameters=[*OBJECT, AT],
        responses={(200, "application/json"): states.BlameSerializer, **GONE, **PROBLEMS},
    )
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return the event that set each field of an object last, up to an instant."""
        at = parameters.instants(request.query_params, "at")["at"] or timezone.now()
        subject = self.subject(model, object_pk)
        state = self.state(request, subject, at, with_links=False)
        return Response({**self.shown(request, subject, state, at), "fields": states.shown_blame(state.held or {})})


class ObjectDiff(StateView):
    """What changed of one object."""

    @extend_schema(
        operation_id="audit_object_diff",
        parameters=[*OBJECT, FROM, TO],
        responses={(200, "application/json"): states.DiffSerializer, **PROBLEMS},
    )
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return the fields and links that differ between two instants, each with the last event that changed it."""
        since, until = _span(request)
        subject = self.subject(model, object_pk)
        self.note(rows=0, asked={**_named(subject), "from": since.isoformat(), "to": until.isoformat()})
        old, new, found = difference(subject, since, until)
        if old is None and new is None:
            raise Http404
        self.note(rows=len([side for side in (old, new) if side is not None]))
        hidden = {**(old.hidden if old else {}), **(new.hidden if new else {})}
        return Response(
            {
                **_beginning(subject),
                "from": states.shown_side(old, since),
                "to": states.shown_side(new, until),
                "changes": states.shown_changes(found.changes, hidden),
                "appeared": list(found.appeared),
                "disappeared": list(found.disappeared),
                "memberships": None if self.rights.labels else states.shown_link_changes(found.memberships),
                "redacted": states.redacted(found.changes, found.memberships, hidden),
            }
        )


class ObjectViewers(AuditView):
    """Who looked at one object."""

    cost = 2

    @extend_schema(
        operation_id="audit_object_viewers",
        parameters=[*OBJECT, *WINDOW],
        responses={(200, "application/json"): states.ViewersSerializer, **PROBLEMS},
    )
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return who looked at an object, how often, from when to when and why; its whole life by default."""
        asked = parameters.parse(
            request.query_params, known=frozenset({"from", "to"}), now=timezone.now(), default_days=None
        )
        self.check_object(model, object_pk)
        subject = Subject(model, object_pk, self.rights)
        window = asked.window
        found = viewers(subject, since=window.since, until=window.until, limit=MOST_VIEWERS)
        self.note(rows=sum(viewer.count for viewer in found[:MOST_VIEWERS]), asked={**_named(subject)})
        return Response(
            {
                **_beginning(subject),
                "window": shown_window(window),
                "viewers": [states.shown_viewer(viewer) for viewer in found[:MOST_VIEWERS]],
                "is_cut": len(found) > MOST_VIEWERS,
            }
        )


def _span(request: Request) -> tuple[datetime, datetime]:
    given = parameters.instants(request.query_params, "from", "to")
    since, until = given["from"], given["to"] or timezone.now()
    if since is None:
        raise InvalidFilter({"from": ("required", "Say from which instant on.")})
    if since >= until:
        raise InvalidFilter({"from": ("invalid_window", "`from` must be before `to`.")})
    return since, until


def _named(subject: Subject) -> dict[str, str]:
    return {"model": subject.model, "object_pk": subject.object_pk}


def _beginning(subject: Subject) -> dict[str, Any]:
    return {**_named(subject), "policy_filters": list(subject.rights.policy_filters)}
