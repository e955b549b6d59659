"""The shapes that the audit API answers with, for the answers and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from auditlog.api.asked import Window
from auditlog.api.problems import Code
from auditlog.models import AuditLog
from auditlog.queries.counts import CountKind
from auditlog.vocabulary import ActorType

EVENT_FIELDS = [
    "event_id",
    "occurred_at",
    "stored_at",
    "model",
    "object_pk",
    "object_repr",
    "action",
    "category",
    "changes",
    "m2m",
    "data",
    "actor",
    "request_id",
    "transaction_id",
    "remote_addr",
    "reason",
    "sequence",
    "redacted",
]
# What lists show where they are asked for it.
INCLUDED_FIELDS = [
    *("before", "after", "context", "masked", "topic", "partition", "offset"),
    *("session", "trace_id", "schema_version", "subjects", "labels", "changed_fields"),
]
DETAIL_FIELDS = [*EVENT_FIELDS, *INCLUDED_FIELDS]
LISTED = frozenset(EVENT_FIELDS)


@extend_schema_field({"type": "object", "additionalProperties": True})
class ObjectField(serializers.JSONField):
    """A JSON object or null."""


@extend_schema_field(
    {"type": "object", "additionalProperties": {"type": "array", "minItems": 2, "maxItems": 2, "items": {}}}
)
class ChangesField(serializers.JSONField):
    """{field name: [old, new]}."""


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class NamesField(serializers.JSONField):
    """Names of columns."""


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"]},
            "repr": {"type": ["string", "null"]},
            "type": {"type": "string", "enum": [str(kind) for kind in ActorType]},
            "on_behalf_of": {"type": ["object", "null"], "additionalProperties": True},
        },
    }
)
class ActorField(serializers.JSONField):
    """Who acted; null: not known."""


JSON_FIELDS: dict[str, type[serializers.JSONField]] = {
    "changes": ChangesField,
    "actor": ActorField,
    "masked": NamesField,
    **dict.fromkeys(("m2m", "data", "before", "after", "context"), ObjectField),
}


class EventSerializer(serializers.ModelSerializer[AuditLog]):
    """One event of a list: the members that are asked for by `fields` and `include`."""

    redacted = serializers.SerializerMethodField(help_text="The fields whose values are kept from the caller.")

    class Meta:
        model = AuditLog
        fields = DETAIL_FIELDS
        read_only_fields = DETAIL_FIELDS

    def get_redacted(self, event: AuditLog) -> list[str]:
        """Return what redaction replaced."""
        return list(getattr(event, "redacted", ()))

    # Declared as attributes, `data` and `context` would hide what the framework calls so.
    def build_standard_field(self, field_name: str, model_field: Any) -> tuple[Any, dict[str, Any]]:
        """Return the class of a field and its options."""
        field_class, options = super().build_standard_field(field_name, model_field)
        return JSON_FIELDS.get(field_name, field_class), options


class EventDetailSerializer(EventSerializer):
    """One event with both images of the row and where it was read from."""


class ListedEvent(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describes an event of a list in the OpenAPI document: callers choose its members, so that none is required."""

    target_class = "auditlog.api.serializers.EventSerializer"

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """Return the schema of the serializer."""
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {name: value for name, value in schema.items() if name != "required"}


def shown(event: AuditLog, *, include: Collection[str] = ()) -> dict[str, Any]:
    """Return an event as a list shows it, and the members of the single event that are included."""
    members = {}
    for name, represent in _members().items():
        if name in LISTED or name in include:
            value = getattr(event, name)
            members[name] = value if represent is None or value is None else represent(value)
    return members


def instant(at: datetime) -> str:
    """Return a time as answers write it: RFC 3339, in UTC."""
    return at.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


# Fields whose values come out of the database as they are shown; how others are represented.
AS_THEY_ARE = (serializers.CharField, serializers.IntegerField, serializers.JSONField, serializers.ListField)
REPRESENTED: dict[type[Any], Callable[[Any], Any]] = {
    serializers.UUIDField: str,
    serializers.DateTimeField: instant,
    serializers.SerializerMethodField: list,
}


@lru_cache(maxsize=1)
def _members() -> Mapping[str, Callable[[Any], Any] | None]:
    """
    Return what each member of an event is made of its value; None: it is shown as it is.

    Asked of the framework once: its fields take far longer to be made than to be used, and to be used than to find out
    that a text is a text.
    """
    fields = EventDetailSerializer().fields
    return {
        name: None if isinstance(field, AS_THEY_ARE) else REPRESENTED.get(type(field), field.to_representation)
        for name, field in fields.items()
    }


def shown_window(window: Window) -> dict[str, str | None]:
    """Return the window that was applied, as `WindowSerializer` describes it."""
    since, until = (None if at is None else instant(at) for at in (window.since, window.until))
    return {"from": since, "to": until, "applied": window.applied}


class WindowSerializer(serializers.Serializer[Any]):
    """The time window that was applied; null: unbounded."""

    to = serializers.DateTimeField(allow_null=True)
    applied = serializers.CharField(help_text="`requested`, `default-<n>-days` or `all`")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields, with `from`, which cannot be written as an attribute."""
        return {"from": serializers.DateTimeField(allow_null=True), **super().get_fields()}


class EventPageSerializer(serializers.Serializer[Any]):
    """A page of events, newest first."""

    results = EventSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="Older events")
    previous = serializers.URLField(allow_null=True, help_text="Newer events")
    window = WindowSerializer()
    count = inline_serializer(
        "Count",
        {"value": serializers.IntegerField(), "kind": serializers.ChoiceField([str(kind) for kind in CountKind])},
        allow_null=True,
        help_text="Null: not asked for.",
    )
    policy_filters = serializers.ListField(
        child=serializers.ChoiceField(["own", "models", "labels"]),
        help_text="By what the caller's rights leave events out of every answer.",
    )


class CountedSerializer(serializers.Serializer[Any]):
    """How many events were counted."""

    value = serializers.IntegerField()
    kind = serializers.ChoiceField([str(CountKind.EXACT), str(CountKind.CAPPED)])
    counted_from = serializers.DateTimeField(
        allow_null=True, help_text="Where the count is capped: the events of the window from this time on were counted."
    )


class StatisticsSerializer(serializers.Serializer[Any]):
    """What each answer about counts says of them."""

    count = CountedSerializer()
    source = serializers.ChoiceField(  # type: ignore[assignment]
        ["rollup", "rows"], help_text="What was counted: the counts of hours, or the events."
    )
    window = WindowSerializer()
    policy_filters = serializers.ListField(child=serializers.ChoiceField(["own", "models", "labels"]))


class FacetSerializer(serializers.Serializer[Any]):
    """The most frequent values of one dimension."""

    results = inline_serializer(
        "FacetValue",
        {
            "value": serializers.CharField(allow_null=True, help_text="Null: events that have none."),
            "name": serializers.CharField(allow_null=True, help_text="What the actor's newest event calls them."),
            "count": serializers.IntegerField(),
        },
        many=True,
    )
    values = serializers.IntegerField(help_text="How many different values there are.")
    others = serializers.IntegerField(help_text="How often the values occur that are not among the results.")


class TopSerializer(FacetSerializer, StatisticsSerializer):
    """The most frequent values, and what they were counted from."""

    by = serializers.CharField()


class FacetsSerializer(StatisticsSerializer):
    """The most frequent values of several dimensions."""

    facets = serializers.DictField(child=FacetSerializer())


class BucketSerializer(serializers.Serializer[Any]):
    """A span of the calendar, and how many events of the window are in it."""

    to = serializers.DateTimeField()
    count = serializers.IntegerField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields, with `from`, which cannot be written as an attribute."""
        return {"from": serializers.DateTimeField(), **super().get_fields()}


class HistogramSerializer(StatisticsSerializer):
    """The events of each bucket."""

    bucket = serializers.ChoiceField(["hour", "day", "week", "month"])
    tz = serializers.CharField()
    buckets = BucketSerializer(many=True)


class FeedSerializer(serializers.Serializer[Any]):
    """Events in the order in which they were stored."""

    results = EventSerializer(many=True)
    next = serializers.URLField(help_text="What follows; always there")
    after = serializers.CharField(help_text="The cursor in `next`")
    has_more = serializers.BooleanField(help_text="More is stored already: do not wait.")
    policy_filters = serializers.ListField(
        child=serializers.ChoiceField(["own", "models", "labels"]),
        help_text="By what the caller's rights leave events out of every answer.",
    )


# A serializer class cannot declare `errors`: it is what the framework calls its own findings.
ProblemSerializer = inline_serializer(
    "Problem",
    {
        "type": serializers.URLField(),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(),
        "code": serializers.ChoiceField([str(code) for code in Code]),
        "errors": inline_serializer(
            "ProblemError",
            {"pointer": serializers.CharField(), "code": serializers.CharField(), "detail": serializers.CharField()},
            many=True,
        ),
        "request_id": serializers.CharField(),
    },
)
