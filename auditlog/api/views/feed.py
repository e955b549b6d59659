"""The feed: events in the order in which they were stored, for programs that must miss none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.access.redaction import redacted
from auditlog.api import feed_cursors, parameters, serializers
from auditlog.api.asked import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE, Asked
from auditlog.api.problems import InvalidFilter, PositionAhead
from auditlog.api.schema import FEED, FEED_PARAMETERS, FILTERS
from auditlog.api.search import written
from auditlog.api.views.base import AuditView
from auditlog.api.waits import looks
from auditlog.models import AuditLog
from auditlog.queries import feed, positions
from auditlog.queries.feed import Place, Portion, PositionLost
from auditlog.vocabulary import Action

NAME = "audit-feed"
BEGINNING = "beginning"
# Of each event, where it was stored: in a feed that is its order.
PLACES = frozenset({"topic", "partition", "offset"})
# Each call is an event, which the feed shows: where nothing else is new, such events wait for others, and no longer.
HELD_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a caller of the feed asked for."""

    asked: Asked
    limit: int
    wait_seconds: int
    columns: frozenset[str]


class Feed(AuditView):
    """What was stored after a place."""

    # Each look has a transaction of its own: none stays open while the caller waits.
    is_brief = False

    @extend_schema(operation_id="audit_feed", parameters=[*FEED_PARAMETERS, *FILTERS], responses=FEED)
    def get(self, request: Request) -> Response:
        """
        Return the next events in the order in which they were stored, each once; wait for one where there is none.

        Go on with `next`, which there always is. Without `after` the feed begins now.
        """
        wanted = _wanted(request.query_params)
        bound_to = feed_cursors.binding(request.query_params, principal=self.rights.principal)
        after = request.query_params.get("after")
        upto = positions.now()
        if after is None:
            place = feed.end(upto)
        elif after == BEGINNING:
            place = feed.beginning()
        else:
            place = feed_cursors.decode(after, bound_to=bound_to)
        portion = self._awaited(wanted, place, upto)
        self.note(rows=len(portion.events), asked=_noted(wanted, is_first=after is None or after == BEGINNING))
        cursor = feed_cursors.encode(portion.place, bound_to=bound_to)
        query = request.query_params.copy()
        query["after"] = cursor
        return Response(
            {
                "results": [self._shown(event, wanted) for event in portion.events],
                "next": f"{request.build_absolute_uri(request.path)}?{query.urlencode()}",
                "after": cursor,
                "has_more": portion.has_more,
                "policy_filters": list(self.rights.policy_filters),
            }
        )

    def _awaited(self, wanted: _Wanted, place: Place, upto: positions.Position) -> Portion:
        """Return the next events, after waiting for them; those that are but reads of feeds are left for later."""
        portion = self._read(wanted, place, upto)
        with looks(0 if _is_worth_an_answer(portion) else wanted.wait_seconds) as steps:
            for _ in steps:
                if (now := positions.now()) != upto:
                    upto = now
                    # What is not shown yet is read again, with what came after it.
                    portion = self._read(wanted, place if portion.events else portion.place, upto)
                if _is_worth_an_answer(portion):
                    break
        is_held = portion.events and not _is_worth_an_answer(portion)
        return Portion([], place, has_more=False) if is_held else portion

    def _read(self, wanted: _Wanted, place: Place, upto: positions.Position) -> Portion:
        try:
            feed.check(place, upto)
        except PositionLost as exc:
            raise PositionAhead from exc
        chosen = wanted.asked.query.filter
        return feed.read(chosen, self.rights, place=place, upto=upto, limit=wanted.limit, include=wanted.columns)

    def _shown(self, event: AuditLog, wanted: _Wanted) -> dict[str, Any]:
        shown = serializers.shown(redacted(event, self.rights), include=wanted.columns)
        return wanted.asked.chosen(shown)


def _wanted(query: QueryDict) -> _Wanted:
    asked = parameters.parse(query, known=parameters.FEED, now=timezone.now(), default_days=None)
    numbers = {"wait": (0, parameters.LONGEST_WAIT_SECONDS, 0), "limit": (1, LARGEST_PAGE_SIZE, DEFAULT_PAGE_SIZE)}
    errors, found = {}, {}
    for name, (least, most, otherwise) in numbers.items():
        text = query.get(name, str(otherwise))
        if not re.fullmatch(r"[0-9]{1,4}", text) or not least <= int(text) <= most:
            errors[name] = (f"invalid_{name}", f"Give a whole number from {least} to {most}.")
        else:
            found[name] = int(text)
    if errors:
        raise InvalidFilter(errors)
    columns = asked.include | PLACES | (frozenset(asked.fields or ()) & frozenset(serializers.INCLUDED_FIELDS))
    return _Wanted(asked, found["limit"], found["wait"], columns)


def _is_worth_an_answer(portion: Portion) -> bool:
    if portion.has_more or not all(map(_is_read_of_feed, portion.events)):
        return True
    return any(timezone.now() - event.stored_at >= HELD_FOR for event in portion.events)


def _is_read_of_feed(event: AuditLog) -> bool:
    data = event.data if isinstance(event.data, dict) else {}
    return event.action == Action.AUDIT_LOG_READ and data.get("operation") == NAME


def _noted(wanted: _Wanted, *, is_first: bool) -> dict[str, Any]:
    return {"filter": written(wanted.asked.query.filter), "limit": wanted.limit, "is_first_page": is_first}
