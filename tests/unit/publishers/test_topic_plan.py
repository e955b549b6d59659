"""What is done about a topic that differs, and what is refused."""

from __future__ import annotations

import pytest

from publishers.brokers import Found, Shape
from publishers.topic_plan import Plan, plan, shape

NAME = "audit.doctors.doctor"
WANTED = shape(partitions=6, replication=3, in_sync=2, largest_bytes=1_048_588, retention_days=0)
AS_WANTED = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "min.insync.replicas": "2",
    "max.message.bytes": "1048588",
}


def compared(found: Found, wanted: Shape = WANTED) -> Plan:
    """Return the plan for one topic."""
    return plan(wanted={NAME: wanted}, left={}, found={NAME: found})


def test_a_topic_is_made_with_all_that_is_planned() -> None:
    assert plan(wanted={NAME: WANTED}, left={}, found={}) == Plan(create={NAME: Shape(6, 3, AS_WANTED)})


def test_what_is_as_wanted_is_left_alone_also_where_it_is_more() -> None:
    assert compared(Found(6, 3, AS_WANTED)).is_empty
    assert compared(Found(6, 5, {**AS_WANTED, "max.message.bytes": "2000000"})).is_empty


def test_settings_are_changed_where_that_does_no_harm() -> None:
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "retention.bytes": "1000",
        "min.insync.replicas": "1",
        "max.message.bytes": "1000",
    }
    assert compared(Found(6, 3, settings)) == Plan(
        alter={
            NAME: {
                "retention.ms": ("604800000", "-1"),
                "retention.bytes": ("1000", "-1"),
                "min.insync.replicas": ("1", "2"),
                "max.message.bytes": ("1000", "1048588"),
            }
        }
    )


@pytest.mark.parametrize(
    ("found", "beginning"),
    [
        (Found(5, 3, AS_WANTED), "has 5 partitions, wanted 6:"),
        (Found(7, 3, AS_WANTED), "has 7 partitions, wanted 6:"),
        (Found(6, 2, AS_WANTED), "has 2 copies, wanted 3:"),
        (Found(6, 3, {**AS_WANTED, "cleanup.policy": "compact"}), "cleanup.policy is compact:"),
        (Found(6, 3, {**AS_WANTED, "cleanup.policy": "compact,delete"}), "cleanup.policy is compact,delete:"),
        (Found(6, 3, None), "its settings cannot be read:"),
    ],
)
def test_what_would_lose_events_or_their_order_is_refused(found: Found, beginning: str) -> None:
    made = compared(found)
    (reason,) = made.refused[NAME]
    assert reason.startswith(beginning)
    assert (made.create, made.alter) == ({}, {})


@pytest.mark.parametrize(
    ("days", "now", "refused", "altered"),
    [
        (30, "-1", True, {}),
        (30, "2678400000", True, {}),
        (30, "2592000000", False, {}),
        (30, "1000", False, {NAME: {"retention.ms": ("1000", "2592000000")}}),
        (0, "2592000000", False, {NAME: {"retention.ms": ("2592000000", "-1")}}),
    ],
)
def test_retention_grows_and_is_never_shortened(
    days: int, now: str, refused: bool, altered: dict[str, dict[str, tuple[str, str]]]
) -> None:
    wanted = shape(partitions=6, replication=3, in_sync=2, largest_bytes=1_048_588, retention_days=days)
    made = compared(Found(6, 3, {**AS_WANTED, "retention.ms": now}), wanted)
    assert (bool(made.refused), made.alter) == (refused, altered)


def test_more_copies_in_sync_than_there_are_would_stop_the_topic_and_are_refused() -> None:
    made = compared(Found(6, 1, {**AS_WANTED, "min.insync.replicas": "1"}))
    assert [reason.split(":")[0] for reason in made.refused[NAME]] == [
        "has 1 copies, wanted 3",
        "has 1 copies, of which min.insync.replicas=2 cannot be in sync",
    ]
    assert made.alter == {}


def test_a_topic_that_was_moved_away_from_keeps_its_partitions_and_its_history() -> None:
    old, new = f"{NAME}.old", NAME
    found = {old: Found(1, 3, {**AS_WANTED, "cleanup.policy": "compact"}), new: Found(6, 3, AS_WANTED)}
    made = plan(wanted={new: WANTED}, left={old: WANTED}, found=found)
    assert {name: [reason.split(":")[0] for reason in reasons] for name, reasons in made.refused.items()} == {
        old: ["cleanup.policy is compact"]
    }
