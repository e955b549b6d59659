"""What one actor did: by day, session and action, and which events that are."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final

from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.fields import ArrayField
from django.db.models import Count, DateTimeField, F, Func, IntegerField, Max, Min, Q, Value
from django.utils import timezone

from auditlog.access.rights import Rights
from auditlog.models import AuditLog
from auditlog.queries import compiler, positions
from auditlog.queries.compiler import Query
from auditlog.queries.events import Page
from auditlog.queries.filters import Both, Either, Field, Filter, Is, Not
from auditlog.queries.stretches import stretches
from auditlog.topics import SYSTEM_MODEL
from auditlog.vocabulary import ActorType

# The beginning of a principal's name, before the id of the user.
USER: Final = "user:"
# Nobody is known to have acted: whoever was not let in has no actor, or an anonymous one.
BY_NOBODY: Final = Not(Is(Field.ACTOR_TYPE, tuple(str(kind) for kind in ActorType if kind is not ActorType.ANONYMOUS)))
RESOLUTION: Final = timedelta(microseconds=1)
# Groups of day, session, action and category that are told apart.
MOST_GROUPS: Final = 5_000
# Columns that a page must hold for its events to be added up, beyond those that are shown.
NEEDED: Final = frozenset({"session"})


@dataclass(slots=True)
class Tally:
    """How often something was done, and from when to when."""

    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    actions: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    addresses: set[str] = field(default_factory=set)

    def add(self, group: Mapping[str, Any]) -> None:
        """Count a group of events of one action and category."""
        self.count += group["count"]
        self.first_at = min(filter(None, (self.first_at, group["first_at"])))
        self.last_at = max(filter(None, (self.last_at, group["last_at"])))
        self.actions[group["action"]] += group["count"]
        self.categories[group["category"]] += group["count"]
        self.addresses.update(map(str, group["addresses"] or ()))


@dataclass(slots=True)
class Activity:
    """
    What an actor did: in all, by day, and on each day by session, newest first; None stands for what had no session.
    """

    total: Tally = field(default_factory=Tally)
    days: dict[date, Tally] = field(default_factory=dict)
    sessions: dict[date, dict[str | None, Tally]] = field(default_factory=dict)
    is_cut: bool = False


def acts_of(actor_id: str, rights: Rights, *, pinned: positions.Position | None) -> Filter:
    """
    Return the filter of what an actor did, and of what was tried under the actor's name.

    What was tried by somebody who was not let in has nobody as its actor: its key on the system stream is the name that
    was given, or that of a principal. The name is the newest one among what is pinned, so that all pages of a walk
    have the same filter.
    Index: auditlog_auditlog_actor_time.
    """
    acted = Is(Field.ACTOR, (actor_id,))
    return tried_as(acted, (f"{USER}{actor_id}", *_newest_name(Query(acted, pinned=pinned), rights)))


def _newest_name(acted: Query, rights: Rights) -> Sequence[str]:
    """Return what the newest event of an actor calls them; nothing where no event has a name."""
    for part in stretches(acted, start=timezone.now(), descending=True):
        named = compiler.rows(part, rights).filter(actor_repr__isnull=False).order_by("-occurred_at", "-event_id")
        if names := [str(name) for name in named.values_list("actor_repr", flat=True)[:1]]:
            return names
    return ()


def tried_as(acted: Filter, names: tuple[str, ...]) -> Filter:
    """Return the filter of an actor's acts together with what the system stream has under these names by nobody."""
    return Either((acted, Both((Is(Field.MODEL, (SYSTEM_MODEL,)), Is(Field.OBJECT, names), BY_NOBODY))))


class _Place(Func):
    """Between which of a row of times a time lies, counted from 1."""

    function = "width_bucket"
    output_field = IntegerField()


def days_between(since: datetime, until: datetime, *, zone: tzinfo) -> list[date]:
    """Return the days of a time zone that some time from `since` up to before `until` is on."""
    first, last = since.astimezone(zone).date(), (until - RESOLUTION).astimezone(zone).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def beginning(day: date, *, zone: tzinfo) -> datetime:
    """Return the first instant of a day in a time zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def activity(query: Query, rights: Rights, *, days: Sequence[date], zone: tzinfo, page: Page) -> Activity:
    """
    Return what the events of a query add up to, which are all on one of these days of a time zone.

    `page` is its first, with the columns NEEDED, newest first; one statement where it is not all there is. Where days
    begin is worked out here: the database's zones may be others, and have other names.
    """
    begin = [beginning(day, zone=zone) for day in days]
    alone = (_alone(event, begin) for event in page.events)
    return added_up(_groups(query, rights, begin) if page.has_next else alone, days=days)


def _groups(query: Query, rights: Rights, begin: Sequence[datetime]) -> Iterable[Mapping[str, Any]]:
    return (
        compiler.rows(query, rights)
        .order_by()
        .annotate(day=_Place(F("occurred_at"), Value(begin, ArrayField(DateTimeField()))))
        .values("day", "session", "action", "category")
        .annotate(
            count=Count("event_id"),
            first_at=Min("occurred_at"),
            last_at=Max("occurred_at"),
            addresses=ArrayAgg("remote_addr", distinct=True, filter=Q(remote_addr__isnull=False)),
        )
        .order_by("-day", "-last_at", "session", "action", "category")[: MOST_GROUPS + 1]
    )


def _alone(event: AuditLog, begin: Sequence[datetime]) -> Mapping[str, Any]:
    """Return the group of one event."""
    return {
        "day": bisect_right(begin, event.occurred_at),
        "session": event.session,
        "action": event.action,
        "category": event.category,
        "count": 1,
        "first_at": event.occurred_at,
        "last_at": event.occurred_at,
        "addresses": [event.remote_addr] if event.remote_addr is not None else [],
    }


def added_up(groups: Iterable[Mapping[str, Any]], *, days: Sequence[date]) -> Activity:
    """Return the sums of groups, newest first; of more than MOST_GROUPS the rest is left out, and that is said."""
    found = Activity()
    for number, group in enumerate(groups):
        if number == MOST_GROUPS:
            found.is_cut = True
            break
        day = days[group["day"] - 1]
        sessions = found.sessions.setdefault(day, {})
        found.total.add(group)
        found.days.setdefault(day, Tally()).add(group)
        sessions.setdefault(group["session"], Tally()).add(group)
    return found
