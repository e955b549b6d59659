"""What counts as a deviation from what was agreed to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from bench import baseline

AGREED: dict[str, Any] = {
    "create": {
        "no audit": {"statements": 1.0, "round_trips": 1.0, "events": 0.0, "wal_bytes": 900.0},
        "auditlog": {"statements": 1.0, "round_trips": 1.0, "events": 1.0, "wal_bytes": 2_500.0},
    }
}


def counted(**changes: float) -> dict[str, Any]:
    """Return what was agreed to, but for some figures of the audited create."""
    counts = copy.deepcopy(AGREED)
    counts["create"]["auditlog"].update(changes)
    return counts


def test_what_was_agreed_to_is_no_deviation() -> None:
    assert baseline.deviations(counted(), AGREED) == []


@pytest.mark.parametrize("wal_bytes", [2_260.0, 2_740.0])
def test_a_tenth_of_the_wal_is_tolerated(wal_bytes: float) -> None:
    assert baseline.deviations(counted(wal_bytes=wal_bytes), AGREED) == []


@pytest.mark.parametrize("wal_bytes", [2_240.0, 2_760.0])
def test_more_than_a_tenth_of_the_wal_is_a_deviation_in_either_direction(wal_bytes: float) -> None:
    assert baseline.deviations(counted(wal_bytes=wal_bytes), AGREED) == [
        f"create, auditlog: WAL bytes {wal_bytes:,.0f}, agreed 2,500 within 10%"
    ]


@pytest.mark.parametrize("figure", ["statements", "round_trips", "events"])
def test_one_statement_round_trip_or_event_more_is_a_deviation(figure: str) -> None:
    assert baseline.deviations(counted(**{figure: 2.0}), AGREED) == [f"create, auditlog: {figure} 2, agreed 1"]


def test_an_operation_that_was_forgotten_is_a_deviation() -> None:
    assert baseline.deviations({}, AGREED) == ["create: in the baseline, but not counted"]


def test_an_operation_that_nobody_agreed_to_is_a_deviation() -> None:
    counts = counted() | {"delete": AGREED["create"]}
    assert baseline.deviations(counts, AGREED) == ["delete: counted, but not in the baseline"]


def test_what_is_saved_is_loaded_without_the_trigger_s_figures(tmp_path: Path) -> None:
    counts = counted()
    counts["create"]["trigger"] = {"statements": 1.0, "round_trips": 1.0, "events": 1.0, "wal_bytes": 2_508.4}
    counts["create"]["auditlog"]["bytes_sent"] = 1_739.0
    baseline.save(counts, tmp_path / "baseline.json")
    assert baseline.load(tmp_path / "baseline.json") == AGREED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"statements": 101}, ["relay: 101 statements, 10 batches, agreed 4 for each"]),
        ({"wal_bytes": 20_000 * 140}, ["relay: 140 WAL bytes an event, agreed 102"]),
        ({"wal_bytes": 20_000 * 70}, ["relay: 70 WAL bytes an event, agreed 102"]),
    ],
    ids=["as agreed", "statements", "more WAL", "less WAL"],
)
def test_what_the_relay_takes_behind_the_write_is_compared(changes: dict[str, float], said: list[str]) -> None:
    work = {"events": 20_000, "batches": 10, "statements": 100, "wal_bytes": 20_000 * 102}
    assert baseline.deviations_behind_the_write("relay", {**work, **changes}) == said
