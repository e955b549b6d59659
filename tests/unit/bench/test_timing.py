"""Rounds, medians and ratios."""

from __future__ import annotations

from functools import partial

import pytest

from bench.timing import Cost, Spread, interleaved, ratios


def test_a_spread_is_the_median_and_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 10.0, 2.0]) == Spread(median=2.5, low=1.0, high=10.0)


def test_a_spread_is_written_with_its_range() -> None:
    assert Spread.of([1.25, 1.0, 2.0]).scaled(2).text(2) == "2.50 (2.00 to 4.00)"


def test_ratios_are_taken_within_each_round() -> None:
    # A round on a busy machine is slow for both, and moves no ratio.
    assert ratios([2.0, 200.0, 3.0], [1.0, 100.0, 1.0]) == Spread(median=2.0, low=2.0, high=3.0)


def test_ratios_need_as_many_rounds_of_each() -> None:
    with pytest.raises(ValueError, match="longer than"):
        ratios([2.0], [1.0, 1.0])


def test_each_candidate_runs_once_in_every_round() -> None:
    calls: list[str] = []

    def noted(name: str) -> str:
        calls.append(name)
        return name

    interleaved({name: partial(noted, name) for name in "abc"}, rounds=20, warm_up=0)
    rounds = [calls[start : start + 3] for start in range(0, len(calls), 3)]
    assert len(rounds) == 20
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    # In changing order: whoever is always last would get the effects of the others.
    assert {names[0] for names in rounds} == {"a", "b", "c"}


def test_the_first_rounds_are_thrown_away() -> None:
    answers = {"a": iter(range(5)), "b": iter(range(10, 15))}
    figures = interleaved({name: partial(next, answer) for name, answer in answers.items()}, rounds=3, warm_up=2)
    assert figures == {"a": [2, 3, 4], "b": [12, 13, 14]}


def test_processor_time_is_that_of_both_sides() -> None:
    assert Cost(seconds=9.0, client_cpu=1.0, server_cpu=2.0).cpu == 3.0
