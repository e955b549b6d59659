"""Pages of events: the same answer for lists, searches and timelines, whatever asked for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.access.redaction import redacted
from auditlog.api import cursors, serializers
from auditlog.api.asked import Asked
from auditlog.api.search import written
from auditlog.api.views.base import AuditView
from auditlog.models import AuditLog
from auditlog.queries import counts, events, positions
from auditlog.queries.counts import CountKind
from auditlog.queries.events import Page, Position


class PageView(AuditView):
    """A resource that answers with pages."""

    # Columns that the resource needs of its events, beyond those that are shown.
    needed: frozenset[str] = frozenset()

    def page(self, request: Request, asked: Asked, body: Any = None) -> Response:
        """
        Return the page that is asked for; the first one of a walk pins what was stored, unless that was done already.

        :raises InvalidCursor: for a cursor that is not good for this caller and these filters.
        """
        return self.page_and_events(request, asked, body)[0]

    def page_and_events(self, request: Request, asked: Asked, body: Any = None) -> tuple[Response, Page]:
        """Return the page that is asked for, as `page` does, and the events that it shows as they are stored."""
        bound_to = self._bound_to(request, body)
        query, position = asked.query, None
        if asked.cursor is None:
            query = replace(query, pinned=query.pinned or positions.now())
        else:
            place = cursors.decode(asked.cursor, bound_to=bound_to, sort=asked.sort, rights=self.rights)
            position = place.position
            query = replace(query, since=place.since, until=place.until, pinned=place.pinned)
        include = _columns(asked) | self.needed
        found = events.page(
            query, self.rights, sort=asked.sort, size=asked.page_size, position=position, include=include
        )
        self.note(rows=len(found.events), asked=_noted(asked))
        asked = replace(asked, query=query)
        answer = Response(
            {
                "results": [self._shown(event, asked) for event in found.events],
                **self._links(request, asked, found, bound_to),
                "window": serializers.shown_window(asked.applied),
                "count": self._count(asked),
                "policy_filters": list(self.rights.policy_filters),
            }
        )
        return answer, found

    def pinned(self, request: Request, asked: Asked) -> positions.Position | None:
        """
        Return what the walk that is asked for is taken from, for a resource whose filter depends on it.

        :raises InvalidCursor: for a cursor that is not good for this caller and these filters.
        """
        if asked.cursor is None:
            return positions.now()
        bound_to = self._bound_to(request)
        return cursors.decode(asked.cursor, bound_to=bound_to, sort=asked.sort, rights=self.rights).pinned

    def _bound_to(self, request: Request, body: Any = None) -> str:
        return cursors.binding(path=request.path, query=request.query_params, body=body, rights=self.rights)

    def _shown(self, event: AuditLog, asked: Asked) -> dict[str, Any]:
        shown = serializers.shown(redacted(event, self.rights), include=_columns(asked))
        return asked.chosen(shown)

    def _count(self, asked: Asked) -> dict[str, Any] | None:
        if asked.count is CountKind.NONE:
            return None
        found = counts.count(asked.query, self.rights, kind=asked.count)
        return {"value": found.value, "kind": str(found.kind)}

    def _links(self, request: Request, asked: Asked, found: Page, bound_to: str) -> dict[str, str | None]:
        def link(event: AuditLog, *, backwards: bool) -> str:
            position = Position(asked.sort.key(event), event.event_id, backwards)
            place = cursors.Place(position, asked.query.since, asked.query.until, asked.query.pinned)
            parameters = request.query_params.copy()
            parameters["cursor"] = cursors.encode(place, bound_to=bound_to)
            return f"{request.build_absolute_uri(request.path)}?{parameters.urlencode()}"

        rows = found.events
        return {
            "next": link(rows[-1], backwards=False) if rows and found.has_next else None,
            "previous": link(rows[0], backwards=True) if rows and found.has_previous else None,
        }


def _columns(asked: Asked) -> frozenset[str]:
    return asked.include | (frozenset(asked.fields or ()) & frozenset(serializers.INCLUDED_FIELDS))


def _noted(asked: Asked) -> dict[str, Any]:
    """Return the question, for the audit of the audit."""
    bounds = {"from": asked.query.since, "to": asked.query.until}
    return {
        "filter": written(asked.query.filter),
        **{name: at.isoformat() for name, at in bounds.items() if at is not None},
        "sort": str(asked.sort),
        "page_size": asked.page_size,
        "is_first_page": asked.cursor is None,
    }
