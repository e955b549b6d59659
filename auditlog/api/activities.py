"""How answers add up what an actor, a request or a transaction did."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rest_framework import serializers

from auditlog.api.serializers import ActorField, EventPageSerializer, instant
from auditlog.queries.actors import Activity, Tally
from auditlog.queries.units import Summary

COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}


class CountsField(serializers.DictField):
    """{name: how often}."""

    child = serializers.IntegerField()


class TallySerializer(serializers.Serializer[Any]):
    """How often something was done, from when to when, and from where."""

    count = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)
    actions = CountsField()
    categories = CountsField()
    addresses = serializers.ListField(child=serializers.CharField())


class SessionSerializer(TallySerializer):
    """What was done in one session; null: without one, by an API key or a command."""

    session = serializers.CharField(allow_null=True)


class DaySerializer(TallySerializer):
    """What was done on one day."""

    date = serializers.DateField()
    sessions = SessionSerializer(many=True)


class ActivitySerializer(serializers.Serializer[Any]):
    """What an actor did: in all, and by day and session, newest day first."""

    total = TallySerializer()
    days = DaySerializer(many=True)
    is_cut = serializers.BooleanField(help_text="There is more than was added up: choose a smaller window")


class ActivityPageSerializer(EventPageSerializer):
    """A page of what an actor did."""

    actor_id = serializers.CharField()
    timezone = serializers.CharField()
    summary = ActivitySerializer(allow_null=True, help_text="On the first page")


class TouchedSerializer(serializers.Serializer[Any]):
    """An object, and what was done to it."""

    model = serializers.CharField()
    object_pk = serializers.CharField(allow_null=True)
    object_repr = serializers.CharField(allow_null=True)
    actions = CountsField()


class SourceSerializer(serializers.Serializer[Any]):
    """Which server's number it is."""

    name = serializers.CharField(help_text="`source.name` of the events")
    database = serializers.CharField()
    timeline = serializers.CharField(help_text="Of the write-ahead log, hexadecimal")


class SummarySerializer(serializers.Serializer[Any]):
    """What a unit of work did."""

    count = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)
    actors = serializers.ListField(child=ActorField(allow_null=True))
    actions = CountsField()
    objects = TouchedSerializer(many=True)
    sources = SourceSerializer(many=True)
    is_ambiguous = serializers.BooleanField(help_text="Several servers: numbers of transactions are unique within one")
    is_cut = serializers.BooleanField(help_text="There is more than was added up")


class UnitPageSerializer(EventPageSerializer):
    """A page of what a request or a transaction did, oldest first."""

    request_id = serializers.CharField(required=False)
    transaction_id = serializers.CharField(required=False)
    summary = SummarySerializer(allow_null=True, help_text="On the first page")


def shown_activity(found: Activity | None) -> dict[str, Any] | None:
    """Return what an actor did."""
    if found is None:
        return None
    days = [
        {
            "date": day.isoformat(),
            **_tally(tally),
            "sessions": [{"session": name, **_tally(one)} for name, one in found.sessions[day].items()],
        }
        for day, tally in found.days.items()
    ]
    return {"total": _tally(found.total), "days": days, "is_cut": found.is_cut}


def shown_summary(found: Summary | None) -> dict[str, Any] | None:
    """Return what a unit of work did."""
    if found is None:
        return None
    return {
        "count": found.count,
        "first_at": found.first_at and instant(found.first_at),
        "last_at": found.last_at and instant(found.last_at),
        "actors": found.actors,
        "actions": dict(found.actions),
        "objects": [
            {
                "model": one.model,
                "object_pk": one.object_pk,
                "object_repr": one.object_repr,
                "actions": dict(one.actions),
            }
            for one in found.objects.values()
        ],
        "sources": [asdict(source) for source in found.sources],
        "is_ambiguous": len(found.sources) > 1,
        "is_cut": found.is_cut,
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "count": tally.count,
        "first_at": tally.first_at and instant(tally.first_at),
        "last_at": tally.last_at and instant(tally.last_at),
        "actions": dict(tally.actions),
        "categories": dict(tally.categories),
        "addresses": sorted(tally.addresses),
    }
