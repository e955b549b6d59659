"""
Questions about one object: what it was at an instant, who set that, and who looked at it.

A state takes as many statements, and as many rows, for an object of ten versions as for one of a thousand: the last
image, the last event of each field, and the membership events.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.fields import ArrayField
from django.db.models import Case, Count, F, Func, JSONField, Max, Min, Q, QuerySet, Subquery, TextField, Value, When

from auditlog.access.redaction import hidden_names, redacted
from auditlog.access.rights import Rights
from auditlog.exact_json import ExactDecoder
from auditlog.models import AuditLog
from auditlog.queries import compiler
from auditlog.queries.compiler import Query
from auditlog.queries.differences import Differences, Side, differences
from auditlog.queries.filters import Field, Filter, Is, conjoined
from auditlog.queries.memberships import Memberships, Told, memberships
from auditlog.queries.provenance import Birth, Deed, Held, Image, Setting, held
from auditlog.queries.shapes import fields_of
from auditlog.vocabulary import Action, Category

INSTANT: Final = timedelta(microseconds=1)
# Row events: a snapshot has no changes, a delete no image after it; domain events, whatever they are called, neither.
OF_ROWS: Final = Q(changes__isnull=False) | Q(after__isnull=False)
LIFE: Final = (Action.CREATE, Action.DELETE)
# Stands for the field of which the last event is that which created or deleted the object.
LIFE_FIELD: Final = ""
DEED: Final = ("event_id", "sequence", "occurred_at", "action", "actor", "reason", "request_id", "transaction_id")
STATE: Final = (*DEED, "object_repr", "after", "data", "masked", "classes", "shape", "model")
EXACT_JSON: Final = JSONField(decoder=ExactDecoder)
MOVED_FROM, MOVED_TO = "moved_from", "moved_to"
NEWEST_LAST, NEWEST_FIRST = ("sequence", "event_id"), ("-sequence", "-event_id")
# People that one answer names; reasons that are shown of one viewer.
MOST_VIEWERS: Final = 500
MOST_REASONS: Final = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """Which object is asked about, and by whom."""

    model: str
    object_pk: str
    rights: Rights

    @property
    def is_partial(self) -> bool:
        """Tell whether it may have events that the caller does not see: labels are those of an event."""
        return bool(self.rights.labels)

    def rows(self, *, until: datetime | None = None, wanted: Filter | None = None) -> QuerySet[AuditLog]:
        """Return its events that the caller may see, those up to and with an instant where one is given."""
        same = (Is(Field.MODEL, (self.model,)), Is(Field.OBJECT, (self.object_pk,)))
        query = Query(conjoined(*same, *([wanted] if wanted else [])), until=until and until + INSTANT)
        return compiler.rows(query, self.rights)


@dataclass(frozen=True, slots=True)
class State:
    """What an object was at an instant."""

    deed: Deed
    object_repr: str | None
    # None: it had been deleted, by `deed`.
    held: Mapping[str, Held] | None
    # None: not asked for, or kept from a caller who is confined to labels: events of links carry none.
    memberships: Mapping[str, Memberships] | None = None
    # Whether this is what the first event of the log found, at an instant before it.
    is_before_the_log: bool = False
    moved_from: str | None = None
    moved_to: str | None = None
    # Field name -> class of values that the caller may not see.
    hidden: Mapping[str, str] = field(default_factory=dict)


def state_at(subject: Subject, at: datetime, *, with_links: bool = True) -> State | None:
    """
    Return what an object was after the last of its events up to an instant; None where nothing is known of it then.

    The last one in the order of commits: clocks decide only which it is. Before the first event, an object is what that
    event found: the row before the first update that is on record. All of that out of the events that the caller may
    see, which are not all of an object that left the caller's labels. Index: auditlog_auditlog_object.
    """
    last = subject.rows(until=at).filter(OF_ROWS).order_by(*NEWEST_FIRST).only(*STATE).first()
    if last is None:
        return _before_the_log(subject, at, with_links=with_links)
    links = _links(subject, at) if with_links else None
    if last.action == Action.DELETE or last.after is None:
        moved_to = (last.data or {}).get(MOVED_TO)
        return State(_deed(last), last.object_repr, None, links, moved_to=moved_to)
    settings, birth, moved_from = _settings(subject, last)
    hidden = hidden_names(last, subject.rights)
    values = held(_image(last, last.after, hidden), settings=settings, birth=birth, is_partial=subject.is_partial)
    return State(_deed(last), last.object_repr, values, links, moved_from=moved_from, hidden=hidden)


def difference(subject: Subject, since: datetime, until: datetime) -> tuple[State | None, State | None, Differences]:
    """Return what an object was at two instants, and what differs; None for an instant that nothing is known of."""
    first, last = state_at(subject, since, with_links=False), state_at(subject, until)
    after = last.memberships if last else None
    before = _links(subject, since) if after else None
    found = differences(_side(first, before), _side(last, after), is_partial=subject.is_partial)
    return first, last, found


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looked at an object, named as they were called then."""

    actor: Mapping[str, Any] | None
    first_at: datetime
    last_at: datetime
    count: int
    actions: tuple[str, ...]
    reasons: tuple[str, ...]
    is_cut: bool


def viewers(subject: Subject, *, since: datetime | None, until: datetime | None, limit: int) -> tuple[Viewer, ...]:
    """
    Return who looked at an object, whoever did last first; one more than `limit` where there are more.

    Events of the category `read`: accesses and what the application calls reading. Index: auditlog_auditlog_object.
    """
    same = (Is(Field.MODEL, (subject.model,)), Is(Field.OBJECT, (subject.object_pk,)))
    query = Query(conjoined(*same, Is(Field.CATEGORY, (Category.READ,))), since, until)
    groups = (
        compiler.rows(query, subject.rights)
        .order_by()
        .values("actor")
        .annotate(
            first_at=Min("occurred_at"),
            last_at=Max("occurred_at"),
            count=Count("event_id"),
            actions=ArrayAgg("action", distinct=True),
            reasons=_Beginning(ArrayAgg("reason", distinct=True, filter=Q(reason__isnull=False))),
        )
        .order_by("-last_at", "actor")[: limit + 1]
    )
    return tuple(_viewer(group) for group in groups)


class _Beginning(Func):
    """The first members of an array, one more than are shown."""

    template = f"(%(expressions)s)[1:{MOST_REASONS + 1}]"
    output_field = ArrayField(TextField())


class _Each(Func):
    """A row for each member of an array."""

    function = "unnest"
    output_field = TextField()


class _NamesOf(Func):
    """The names of an object's members."""

    template = "jsonb_path_query_array(%(expressions)s, '$.keyvalue().key')"
    output_field = JSONField()


def _settings(subject: Subject, last: AuditLog) -> tuple[dict[str, Setting], Birth | None, str | None]:
    """Return the last event of each field up to that which shows the object, and what its present life begins with."""
    nothing = Value([], ArrayField(TextField()))
    life = Case(When(action__in=LIFE, then=Value([LIFE_FIELD], ArrayField(TextField()))), default=nothing)
    names = Func(F("changed_fields"), life, function="array_cat", output_field=ArrayField(TextField()))
    found = (
        subject.rows()
        .filter(changes__isnull=False, sequence__lte=last.sequence)
        .annotate(
            set_field=_Each(names),
            new=Func(F("changes"), _Each(names), Value("1"), function="jsonb_extract_path", output_field=EXACT_JSON),
            columns=Case(When(action=Action.CREATE, then=_NamesOf(F("after")))),
        )
        .order_by("set_field", *NEWEST_FIRST)
        .distinct("set_field")
        .values("set_field", "new", "columns", "masked", "data", *DEED)
    )
    settings, birth, moved_from = {}, None, None
    for row in found:
        deed = Deed(**{name: row[name] for name in DEED})
        if row["set_field"] == LIFE_FIELD:
            birth, moved_from = Birth(deed, frozenset(row["columns"] or ())), (row["data"] or {}).get(MOVED_FROM)
        else:
            settings[row["set_field"]] = Setting(deed, row["new"], row["set_field"] in (row["masked"] or ()))
    return settings, birth, moved_from


def _before_the_log(subject: Subject, at: datetime, *, with_links: bool) -> State | None:
    first = subject.rows().filter(OF_ROWS).order_by(*NEWEST_LAST).only(*STATE, "before").first()
    if first is None or first.before is None:
        return None
    hidden = hidden_names(first, subject.rights)
    values = held(_image(first, first.before, hidden), settings={}, birth=None, is_partial=subject.is_partial)
    links = _links(subject, at) if with_links else None
    return State(_deed(first), first.object_repr, values, links, is_before_the_log=True, hidden=hidden)


def _links(subject: Subject, at: datetime) -> dict[str, Memberships] | None:
    if subject.rights.labels:
        return None
    last = subject.rows(until=at).order_by(*NEWEST_FIRST).values("sequence")[:1]
    told = (
        subject.rows()
        .filter(Q(m2m__isnull=False) | Q(OF_ROWS, action__in=LIFE), sequence__lte=Subquery(last))
        .order_by(*NEWEST_LAST)
        .only(*DEED, "m2m", "classes")
    )
    return memberships(_told(event, subject.rights) for event in told)


def _told(event: AuditLog, rights: Rights) -> Told:
    name = event.m2m and event.m2m["field"]
    hidden = hidden_names(event, rights).get(name) if name else None
    # Of a hidden field the targets are needed to follow the links; whoever answers leaves them out.
    return Told(_deed(event), event.m2m if hidden else redacted(event, rights).m2m, hidden)


def _image(event: AuditLog, columns: Mapping[str, Any], hidden: Collection[str]) -> Image:
    fields = fields_of(event.shape, model=event.model)
    return Image(columns, frozenset(event.masked or ()), frozenset(hidden), fields)


def _deed(event: AuditLog) -> Deed:
    return Deed(**{name: getattr(event, name) for name in DEED})


def _side(state: State | None, links: Mapping[str, Memberships] | None) -> Side:
    if state is None:
        return Side(None, links or {})
    # What the first event found came before that event.
    return Side(state.held, links or {}, None if state.is_before_the_log else state.deed)


def _viewer(group: Mapping[str, Any]) -> Viewer:
    reasons = group["reasons"] or []
    return Viewer(
        actor=group["actor"],
        first_at=group["first_at"],
        last_at=group["last_at"],
        count=group["count"],
        actions=tuple(group["actions"]),
        reasons=tuple(reasons[:MOST_REASONS]),
        is_cut=len(reasons) > MOST_REASONS,
    )
