"""
The one way to rows of the audit log for those who answer a caller: what is wanted, and what the caller may see.

A query is compiled once for every use (pages, details, timelines, statistics, exports), so that no use can forget the
window, the rights or the snapshot.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any, assert_never

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import BooleanField, F, Func, JSONField, Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.db.models.lookups import Exact, In

from auditlog import exact_json
from auditlog.access.redaction import NAMINGS, hidden_field_q
from auditlog.access.rights import Rights
from auditlog.models import AuditLog
from auditlog.partitions import EVENT_ID_SLACK, lowest_id
from auditlog.queries import positions, text_search
from auditlog.queries.filters import (
    EVERYTHING,
    Both,
    Changed,
    Either,
    Field,
    Filter,
    Is,
    Not,
    StartsWith,
    Text,
    Unset,
    Within,
)

# Columns that hold one value for a field of the filter; the others are spelt out below.
COLUMNS = {
    Field.ACTOR: "actor_id",
    Field.ON_BEHALF_OF: "on_behalf_of_id",
    Field.ACTION: "action",
    Field.CATEGORY: "category",
    Field.MODEL: "model",
    Field.OBJECT: "object_pk",
    Field.OBJECT_REPR: "object_repr",
    Field.IP: "remote_addr",
    Field.REQUEST: "request_id",
    Field.SESSION: "session",
    Field.TRACE: "trace_id",
    Field.TRANSACTION: "transaction_id",
    Field.REASON: "reason",
}
# Columns that hold several.
SETS = {Field.SUBJECT: "subjects", Field.LABEL: "labels"}
LETTER_BEFORE_SURROGATES, LETTER_BEHIND_SURROGATES = "\ud7ff", "\ue000"
# Spelt out: an empty condition would be no member of a disjunction, rather than one that is always true.
EVERY_ROW, NO_ROW = Q(Exact(Value(1), Value(1))), Q(Exact(Value(1), Value(0)))


@dataclass(frozen=True, slots=True)
class Query:
    """Which events: a filter, a window from `since` up to before `until`, and what was stored at a position."""

    filter: Filter = EVERYTHING
    since: datetime | None = None
    until: datetime | None = None
    pinned: positions.Position | None = None


class _NotTrue(Func):
    """True where a condition is false, and where it cannot be said."""

    template = "(%(expressions)s) IS NOT TRUE"
    output_field = BooleanField()

    def as_sql(self, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        """Return the SQL; a condition that the compiler finds out to hold never, or always, is a constant."""
        try:
            return super().as_sql(*args, **kwargs)
        except EmptyResultSet:
            return "true", []
        except FullResultSet:
            return "false", []


def rows(query: Query, rights: Rights) -> QuerySet[AuditLog]:
    """Return the events that are wanted and that the caller may see; the window prunes partitions."""
    chosen = AuditLog.objects.filter(_seen_by(rights))
    if query.filter != EVERYTHING:
        chosen = chosen.filter(condition(query.filter, rights))
    if query.since is not None:
        chosen = chosen.filter(occurred_at__gte=query.since, event_id__gte=lowest_id(query.since - EVENT_ID_SLACK))
    if query.until is not None:
        chosen = chosen.filter(occurred_at__lt=query.until, event_id__lt=lowest_id(query.until + EVENT_ID_SLACK))
    if query.pinned is not None:
        chosen = chosen.filter(positions.stored_by(query.pinned))
    return chosen


def condition(wanted: Filter, rights: Rights) -> Q:  # noqa: PLR0911 - one for each kind
    """
    Return the condition of a filter tree.

    What a caller may not see decides nothing: a condition on the values of a field is false in each row that hides this
    field, so that its negation is true there, whatever the row holds.
    """
    match wanted:
        case Both(parts):
            return reduce(and_, (condition(part, rights) for part in parts)) if parts else EVERY_ROW
        case Either(parts):
            return reduce(or_, (condition(part, rights) for part in parts)) if parts else NO_ROW
        case Not(part):
            return Q(_NotTrue(condition(part, rights)))
        case Is(field, values):
            return _is(field, values, rights)
        case StartsWith(field, prefix):
            return _begins(field, prefix)
        case Within(network):
            ends = (str(network.network_address), str(network.broadcast_address))
            return Q(remote_addr__gte=ends[0], remote_addr__lte=ends[1])
        case Changed():
            return _changed(wanted, rights)
        case Text(words):
            return text_search.matching(words)
        case _:
            assert_never(wanted)


class _Bytewise(Func):
    """
    Two texts compare so by their bytes, whatever the locale.

    Served by an index of `text_pattern_ops`, also behind the wall: unlike LIKE, these operators are leakproof.
    """

    template = "(%(expressions)s)"
    output_field = BooleanField()


class _IsOneOf(Func):
    """A value is one of an array."""

    arg_joiner = " = ANY ("
    template = "(%(expressions)s))"
    output_field = BooleanField()


def _seen_by(rights: Rights) -> Q:
    """Return the rows that a caller may see; a row without a value in a dimension that is granted is not among them."""
    if rights.sees_everything:
        return Q()
    if not rights.may_read or (rights.reads_own_only and rights.actor_id is None):
        return NO_ROW
    seen = Q(actor_id=rights.actor_id) if rights.reads_own_only else Q()
    if rights.models is not None:
        seen &= Q(model__in=sorted(rights.models))
    for labels in rights.label_sets:
        seen &= Q(labels__overlap=list(labels))
    return seen


def _begins(field: Field, prefix: str) -> Q:
    if field is not Field.ACTION:
        return Q(**{f"{COLUMNS[field]}__startswith": prefix})
    found = Q(_Bytewise(F("action"), Value(prefix), arg_joiner=" ~>=~ "))
    # The first text behind all that begin so; there is none behind the last letter of all.
    if beginning := prefix.rstrip(chr(sys.maxunicode)):
        found &= Q(_Bytewise(F("action"), Value(beginning[:-1] + _following(beginning[-1])), arg_joiner=" ~<~ "))
    return found


def _following(letter: str) -> str:
    """Return the next letter; between two halves of the letters are those that stand for none."""
    return LETTER_BEHIND_SURROGATES if letter == LETTER_BEFORE_SURROGATES else chr(ord(letter) + 1)


def _is(field: Field, values: tuple[str, ...], rights: Rights) -> Q:
    if field in SETS:
        found = Q(**{f"{SETS[field]}__overlap": list(values)})
        return found & ~hidden_field_q(rights, NAMINGS[SETS[field]]) if rights.hidden_classes else found
    if field is Field.ACTOR_TYPE:
        return Q(In(KeyTextTransform("type", F("actor")), [Value(value) for value in values]))
    column = COLUMNS[field]
    return Q(**{column: values[0]}) if len(values) == 1 else Q(**{f"{column}__in": values})


def _changed(wanted: Changed, rights: Rights) -> Q:
    found = Q(changed_fields__contains=[wanted.field])
    if isinstance(wanted.old, Unset) and isinstance(wanted.new, Unset):
        return found
    for place, values in (("0", wanted.old), ("1", wanted.new)):
        if not isinstance(values, Unset):
            found &= _holds(wanted.field, place, values)
    return found & ~hidden_field_q(rights, wanted.field) if rights.hidden_classes else found


def _holds(field: str, place: str, values: tuple[Any, ...]) -> Q:
    """Return the condition that `changes[field][place]` is one of the values."""
    value = Func(F("changes"), Value(field), Value(place), function="jsonb_extract_path", output_field=JSONField())
    texts = Value([exact_json.encode(given).decode() for given in values], ArrayField(TextField()))
    return Q(_IsOneOf(value, Cast(texts, ArrayField(JSONField()))))
