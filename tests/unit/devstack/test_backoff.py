"""Waiting before a process is started again."""

from __future__ import annotations

from devstack.backoff import Backoff


def test_each_early_death_doubles_the_wait_up_to_a_limit() -> None:
    backoff = Backoff()
    assert [backoff.after(lived_seconds=1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_long_life_makes_early_deaths_forgotten() -> None:
    backoff = Backoff()
    for _ in range(4):
        backoff.after(lived_seconds=1)
    assert backoff.after(lived_seconds=61) == 0.5
    assert backoff.deaths == 1
