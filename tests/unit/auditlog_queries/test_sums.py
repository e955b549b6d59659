"""What acts add up to: by day and session, and in a unit of work."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from auditlog.queries import actors, units
from auditlog.queries.filters import Both, Either, Field, Is

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 13, tzinfo=UTC)
DAYS = [date(2026, 11, 22), date(2026, 11, 23)]
ADA = {"id": "7", "repr": "ada", "type": "user", "on_behalf_of": None}
SHAPE, OTHER_SHAPE = uuid.UUID(int=1), uuid.UUID(int=2)


def act(**values: Any) -> dict[str, Any]:
    """Return a group of acts of one kind."""
    return {
        "day": 2,
        "session": "s1",
        "action": "update",
        "category": "write",
        "count": 2,
        "first_at": NOON,
        "last_at": NOON,
        "addresses": ["192.0.2.7"],
        **values,
    }


def done(**values: Any) -> dict[str, Any]:
    """Return a group of events about one object."""
    return {
        "shape": SHAPE,
        "timeline": "00000001",
        "model": "doctors.doctor",
        "object_pk": "17",
        "object_repr": None,
        "action": "update",
        "actor": ADA,
        "count": 1,
        "first_at": NOON,
        "last_at": NOON,
        **values,
    }


def test_acts_add_up_by_day_and_session() -> None:
    found = actors.added_up(
        [
            act(),
            act(action="access", category="read", count=1, last_at=LATER, addresses=["192.0.2.8"]),
            act(session=None, action="audit_log_refused", category="security", count=1, addresses=None),
            act(day=1, count=5),
        ],
        days=DAYS,
    )
    assert (found.total.count, found.total.actions["update"], found.is_cut) == (9, 7, False)
    day = found.days[date(2026, 11, 23)]
    assert (day.count, dict(day.categories)) == (4, {"write": 2, "read": 1, "security": 1})
    session = found.sessions[date(2026, 11, 23)]["s1"]
    assert (session.count, session.first_at, session.last_at) == (3, NOON, LATER)
    assert session.addresses == {"192.0.2.7", "192.0.2.8"}
    assert found.sessions[date(2026, 11, 23)][None].count == 1
    assert list(found.days) == [date(2026, 11, 23), date(2026, 11, 22)]


def test_days_are_those_of_the_zone_where_clocks_change_too() -> None:
    oslo = ZoneInfo("Europe/Oslo")
    since, until = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert actors.days_between(since, until, zone=oslo) == [date(2026, 10, 25)]
    assert actors.days_between(since, until + timedelta(microseconds=1), zone=oslo)[1:] == [date(2026, 10, 26)]
    begins = [actors.beginning(date(2026, 10, day), zone=oslo) for day in (25, 26)]
    assert begins == [since, until]


def test_what_is_not_added_up_is_said() -> None:
    groups = [act(session=str(number)) for number in range(actors.MOST_GROUPS + 1)]
    assert not actors.added_up(groups[:-1], days=DAYS).is_cut
    found = actors.added_up(groups, days=DAYS)
    assert (found.is_cut, found.total.count) == (True, 2 * actors.MOST_GROUPS)


def test_what_was_tried_under_a_name_is_looked_for_on_the_system_stream_alone() -> None:
    acted = Is(Field.ACTOR, ("7",))
    tried = Both((Is(Field.MODEL, ("auditlog.system",)), Is(Field.OBJECT, ("ada",)), actors.BY_NOBODY))
    assert actors.tried_as(acted, ("ada",)) == Either((acted, tried))


def test_a_unit_of_work_adds_up_by_object() -> None:
    groups = [
        done(action="create", object_repr="Dr Ada"),
        done(count=3, last_at=LATER),
        done(model="doctors.patient", object_pk="4", actor=None, shape=None),
    ]
    found = units.summed_up(groups, sources={SHAPE: ("audit", "clinic")})
    assert (found.count, found.first_at, found.last_at) == (5, NOON, LATER)
    assert dict(found.actions) == {"create": 1, "update": 4}
    assert found.actors == [ADA, None]
    assert [(touched.model, touched.object_repr, dict(touched.actions)) for touched in found.objects.values()] == [
        ("doctors.doctor", "Dr Ada", {"create": 1, "update": 3}),
        ("doctors.patient", None, {"update": 1}),
    ]
    assert found.sources == [units.Source("audit", "clinic", "00000001")]


def test_a_number_that_two_servers_gave_has_two_sources() -> None:
    sources = {SHAPE: ("audit", "clinic"), OTHER_SHAPE: ("audit", "billing")}
    assert len(units.summed_up([done(), done(shape=OTHER_SHAPE)], sources=sources).sources) == 2
    # The same database, after a failover or a restore.
    assert len(units.summed_up([done(), done(timeline="00000002")], sources=sources).sources) == 2


def test_objects_that_are_not_listed_are_said() -> None:
    groups = [done(object_pk=str(number)) for number in range(units.MOST_GROUPS + 1)]
    assert not units.summed_up(groups[:-1], sources={}).is_cut
    found = units.summed_up(groups, sources={})
    assert (found.is_cut, len(found.objects)) == (True, units.MOST_GROUPS)
