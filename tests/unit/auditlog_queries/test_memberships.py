"""Which links an object has, and since which event."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditlog.queries.memberships import Memberships, Told, memberships
from auditlog.queries.provenance import Origin
from tests.unit.auditlog_queries.builders import deed, links

CREATED = Told(deed(1, "create"))


def members(*events: Told) -> dict[str, tuple[int, Origin, int | None]]:
    """Return target -> (links, origin, number of the event)."""
    found = memberships(events).get("genres", Memberships("samples.genre"))
    return {
        target: (member.links, member.origin, member.deed.event_id.int if member.deed else None)
        for target, member in found.members.items()
    }


def test_a_link_belongs_to_the_event_that_added_it() -> None:
    events = (CREATED, links(2, "m2m.add", added=["3", "9"]), links(3, "m2m.remove", removed=["9"]))
    assert members(*events) == {"3": (1, Origin.EVENT, 2)}
    assert members(*events, links(4, "m2m.add", added=["9"]))["9"] == (1, Origin.EVENT, 4)


def test_who_took_a_link_away_is_kept() -> None:
    found = memberships([links(2, "m2m.add", added=["3", "9"]), links(3, "m2m.remove", removed=["9"])])
    assert {target: gone.event_id.int for target, gone in found["genres"].removals.items()} == {"9": 3}


def test_a_snapshot_tells_of_links_that_nobody_added() -> None:
    snapshot = links(2, "snapshot", added=["3"])
    assert members(snapshot) == {"3": (1, Origin.BEFORE_THE_LOG, None)}
    # The log knows the object from its beginning, and still no event added the link.
    assert members(CREATED, snapshot) == {"3": (1, Origin.UNRECORDED, None)}


def test_a_snapshot_takes_no_link_from_the_event_that_added_it() -> None:
    assert members(links(2, "m2m.add", added=["3"]), links(3, "snapshot", added=["3"])) == {"3": (1, Origin.EVENT, 2)}


def test_two_links_of_the_same_ends_are_two() -> None:
    twice = links(2, "m2m.add", added=["3", "3"])
    assert members(twice) == {"3": (2, Origin.EVENT, 2)}
    assert members(twice, links(3, "m2m.remove", removed=["3"])) == {"3": (1, Origin.EVENT, 2)}
    assert members(twice, links(3, "snapshot", added=["3"])) == {"3": (1, Origin.EVENT, 2)}


def test_the_links_of_an_object_go_with_it() -> None:
    gone = Told(deed(3, "delete"))
    added = links(2, "m2m.add", added=["3"])
    assert members(added, gone) == {}
    found = memberships([added, gone])
    assert found["genres"].removals["3"].action == "delete"
    assert members(added, gone, Told(deed(4, "create")), links(5, "m2m.add", added=["4"])) == {
        "4": (1, Origin.EVENT, 5)
    }


def test_a_link_has_the_last_label_and_the_last_fields_that_were_told() -> None:
    events = [
        links(2, "m2m.add", added=["3"], through={"3": {"since": None}}, labels={"3": "Cardiology"}),
        links(3, "m2m.update", through={"3": {"since": "2026-01-01"}}, labels={"3": "Heart"}),
    ]
    member = memberships(events)["genres"].members["3"]
    assert (member.through, member.label, member.deed) == ({"since": "2026-01-01"}, "Heart", events[0].deed)


def test_a_field_that_a_caller_may_not_see_stays_hidden_once_it_was() -> None:
    seen, unseen = links(2, "m2m.add", added=["3"]), links(3, "m2m.add", added=["4"])
    found = memberships([Told(seen.deed, seen.m2m, hidden="health"), unseen])
    assert found["genres"].hidden == "health"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_replaying_leaves_the_links_that_are_there(changes: list[tuple[str, bool]]) -> None:
    live: dict[str, int] = {}
    events = []
    for number, (target, comes) in enumerate(changes, start=1):
        if comes and target not in live:
            live[target] = number
            events.append(links(number, "m2m.add", added=[target]))
        elif not comes and target in live:
            del live[target]
            events.append(links(number, "m2m.remove", removed=[target]))
    assert members(*events) == {target: (1, Origin.EVENT, number) for target, number in live.items()}
