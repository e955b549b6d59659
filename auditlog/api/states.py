"""How answers show what an object was, what differs between two instants, and who looked at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from auditlog.access.redaction import REDACTED_KEY
from auditlog.api.serializers import ActorField, ObjectField, ProblemSerializer, WindowSerializer, instant
from auditlog.queries.differences import Change, LinkChanges
from auditlog.queries.memberships import Member, Memberships
from auditlog.queries.objects import State, Viewer
from auditlog.queries.provenance import Held, Origin

Hidden = Mapping[str, str]
POLICY_FILTERS: Final = (
    "By what the caller's rights leave events out of every answer. `labels`: the object may have changed, or have been"
    " deleted, by events outside of them."
)


@extend_schema_field({})
class ValueField(serializers.JSONField):
    """A value as events write it; `{"$redacted": class}` where the caller may not see it."""


class DeedSerializer(serializers.Serializer[Any]):
    """An event, in short: who did what, when and why."""

    event_id = serializers.UUIDField()
    sequence = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    action = serializers.CharField()
    actor = ActorField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    transaction_id = serializers.CharField(allow_null=True)


class SetBySerializer(serializers.Serializer[Any]):
    """Who set a field."""

    column = serializers.CharField()
    origin = serializers.ChoiceField([str(origin) for origin in Origin])
    set_by = DeedSerializer(allow_null=True, help_text="Null: no event set it")


class HeldSerializer(SetBySerializer):
    """A value, and who set it."""

    value = ValueField(allow_null=True)


class ChangeSerializer(serializers.Serializer[Any]):
    """A field that differs, and the last event in between that set it."""

    old = ValueField(allow_null=True)
    new = ValueField(allow_null=True)
    origin = serializers.ChoiceField([str(origin) for origin in Origin])
    set_by = DeedSerializer(allow_null=True)


class MemberSerializer(serializers.Serializer[Any]):
    """A link, and the event that added it."""

    target = serializers.CharField(help_text="The primary key of the target")
    target_repr = serializers.CharField(allow_null=True)
    links = serializers.IntegerField(help_text="How many links there are to the same target")
    through = ObjectField(allow_null=True, help_text="The fields of the link's own")
    origin = serializers.ChoiceField([str(origin) for origin in Origin])
    added_by = DeedSerializer(allow_null=True)


class MembershipsSerializer(serializers.Serializer[Any]):
    """The links of one many-to-many field; `members` is null where the caller may not see them."""

    target_model = serializers.CharField()
    members = MemberSerializer(many=True, allow_null=True)


class RemovedMemberSerializer(MemberSerializer):
    """A link that went, and the event that took it away."""

    removed_by = DeedSerializer(allow_null=True)


class ChangedMemberSerializer(serializers.Serializer[Any]):
    """A link that says something else of itself than before."""

    target = serializers.CharField()
    old = MemberSerializer()
    new = MemberSerializer()


class LinkChangesSerializer(serializers.Serializer[Any]):
    """What differs in the links of one many-to-many field; null where the caller may not see them."""

    target_model = serializers.CharField()
    added = MemberSerializer(many=True, allow_null=True)
    removed = RemovedMemberSerializer(many=True, allow_null=True)
    changed = ChangedMemberSerializer(many=True, allow_null=True)


class MovedSerializer(serializers.Serializer[Any]):
    """The object that the same row was, or became, under another primary key."""

    object_pk = serializers.CharField()
    timeline = serializers.URLField()


class ObjectSerializer(serializers.Serializer[Any]):
    """What every answer about an object begins with."""

    model = serializers.CharField()
    object_pk = serializers.CharField()
    policy_filters = serializers.ListField(child=serializers.CharField(), help_text=POLICY_FILTERS)


class StateSerializer(ObjectSerializer):
    """What is said of an object at an instant."""

    object_repr = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField()
    event = DeedSerializer(help_text="The last event of the row up to then")
    is_before_the_log = serializers.BooleanField(
        help_text="No event is so early: this is what the first one, `event`, found"
    )
    moved_from = MovedSerializer(allow_null=True)


class AsOfSerializer(StateSerializer):
    """What an object was."""

    memberships = serializers.DictField(
        child=MembershipsSerializer(), allow_null=True, help_text="Null: kept from callers who are confined to labels"
    )
    redacted = serializers.ListField(child=serializers.CharField(), help_text="Fields that the caller may not see")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields, with `fields`, which is what the framework calls its own."""
        return {**super().get_fields(), "fields": serializers.DictField(child=HeldSerializer())}


class BlameSerializer(StateSerializer):
    """Who set each field of an object last."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields, with `fields`, which is what the framework calls its own."""
        return {**super().get_fields(), "fields": serializers.DictField(child=SetBySerializer())}


class SideSerializer(serializers.Serializer[Any]):
    """An object at one of two instants."""

    at = serializers.DateTimeField()
    exists = serializers.BooleanField(allow_null=True, help_text="Null: no event says anything of it then")
    event = DeedSerializer(allow_null=True)
    is_before_the_log = serializers.BooleanField()


class DiffSerializer(ObjectSerializer):
    """What differs between two instants."""

    to = SideSerializer()
    changes = serializers.DictField(child=ChangeSerializer())
    appeared = serializers.ListField(child=serializers.CharField(), help_text="Fields that only the later image has")
    disappeared = serializers.ListField(child=serializers.CharField(), help_text="Those that only the earlier has")
    memberships = serializers.DictField(child=LinkChangesSerializer(), allow_null=True)
    redacted = serializers.ListField(child=serializers.CharField())

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Return the fields, with `from`, which cannot be written as an attribute."""
        return {"from": SideSerializer(), **super().get_fields()}


class ViewerSerializer(serializers.Serializer[Any]):
    """Somebody who looked, named as they were called then."""

    actor = ActorField(allow_null=True)
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    count = serializers.IntegerField()
    actions = serializers.ListField(child=serializers.CharField())
    reasons = serializers.ListField(child=serializers.CharField())
    is_cut = serializers.BooleanField(help_text="Not all reasons are shown")


class ViewersSerializer(ObjectSerializer):
    """Who looked at an object, whoever did last first."""

    window = WindowSerializer()
    viewers = ViewerSerializer(many=True)
    is_cut = serializers.BooleanField(help_text="There are more: choose a smaller window")


GoneSerializer = inline_serializer(
    "GoneProblem",
    {
        **ProblemSerializer.fields,
        "event": DeedSerializer(help_text="The event that deleted the object"),
        "moved_to": MovedSerializer(allow_null=True),
        "policy_filters": serializers.ListField(child=serializers.CharField(), help_text=POLICY_FILTERS),
    },
)


def shown_deed(deed: Any) -> dict[str, Any] | None:
    """Return an event in short."""
    return None if deed is None else dict(DeedSerializer(deed).data)


def mark(kind: str) -> dict[str, str]:
    """Return what stands for a value of a class that the caller may not see."""
    return {REDACTED_KEY: kind}


def shown_blame(values: Mapping[str, Held]) -> dict[str, Any]:
    """Return who set each field."""
    return {
        name: {"column": value.column, "origin": str(value.origin), "set_by": shown_deed(value.deed)}
        for name, value in values.items()
    }


def shown_values(values: Mapping[str, Held], hidden: Hidden) -> dict[str, Any]:
    """Return each field with its value and who set it."""
    return {
        name: {**blame, "value": mark(hidden[name]) if name in hidden else values[name].value}
        for name, blame in shown_blame(values).items()
    }


def shown_changes(changes: Mapping[str, Change], hidden: Hidden) -> dict[str, Any]:
    """Return what differs, by field."""
    return {
        name: {
            "old": mark(hidden[name]) if name in hidden else change.old,
            "new": mark(hidden[name]) if name in hidden else change.new,
            "origin": str(change.origin),
            "set_by": shown_deed(change.deed),
        }
        for name, change in changes.items()
    }


def shown_memberships(found: Mapping[str, Memberships] | None) -> dict[str, Any] | None:
    """Return the links of each field."""
    if found is None:
        return None
    return {
        name: {
            "target_model": links.target_model,
            "members": None if links.hidden else [shown_member(member) for member in links.members.values()],
        }
        for name, links in found.items()
    }


def shown_link_changes(found: Mapping[str, LinkChanges]) -> dict[str, Any]:
    """Return what differs in the links of each field."""
    return {name: _link_changes(links) for name, links in found.items()}


def shown_member(member: Member) -> dict[str, Any]:
    """Return a link."""
    return {
        "target": member.target,
        "target_repr": member.label,
        "links": member.links,
        "through": member.through,
        "origin": str(member.origin),
        "added_by": shown_deed(member.deed),
    }


def shown_viewer(viewer: Viewer) -> dict[str, Any]:
    """Return somebody who looked."""
    return dict(ViewerSerializer(viewer).data)


def shown_side(state: State | None, at: datetime) -> dict[str, Any]:
    """Return one of two instants."""
    return {
        "at": instant(at),
        "exists": None if state is None else state.held is not None,
        "event": shown_deed(state.deed if state else None),
        "is_before_the_log": state is not None and state.is_before_the_log,
    }


def redacted(fields: Iterable[str], links: Mapping[str, Memberships | LinkChanges] | None, hidden: Hidden) -> list[str]:
    """Return the fields of an answer whose values the caller may not see."""
    unseen = [name for name, found in (links or {}).items() if found.hidden]
    return sorted({*(name for name in fields if name in hidden), *unseen})


def _link_changes(links: LinkChanges) -> dict[str, Any]:
    if links.hidden:
        return {"target_model": links.target_model, "added": None, "removed": None, "changed": None}
    return {
        "target_model": links.target_model,
        "added": [shown_member(member) for member in links.added],
        "removed": [{**shown_member(member), "removed_by": shown_deed(deed)} for member, deed in links.removed],
        "changed": [
            {"target": new.target, "old": shown_member(old), "new": shown_member(new)} for old, new in links.changed
        ],
    }
