"""Answers on full steps of time: how long is left, and for whom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.api import steps

READ, OWN, SENSITIVE = Scope.READ, Scope.READ_OWN, Scope.READ_SENSITIVE
INSTANTS = st.floats(0, 1e7)


@pytest.mark.parametrize(
    ("passed", "expected"),
    [(0, 0.25), (0.0625, 0.1875), (0.1875, 0.0625), (0.25, 0), (0.3125, 0.1875), (7.125, 0.125), (-1, 1.25)],
)
def test_what_is_left_is_the_way_to_the_next_full_step(passed: float, expected: float) -> None:
    assert steps.wait_seconds(began=100, now=100 + passed, step=0.25) == expected


@given(began=INSTANTS, passed=st.floats(0, 1_000), step=st.floats(0.001, 10))
def test_less_than_a_step_is_left_and_the_end_is_a_full_one(began: float, passed: float, step: float) -> None:
    now = began + passed
    left = steps.wait_seconds(began=began, now=now, step=step)

    assert 0 <= left <= step
    taken = (now - began + left) / step
    assert round(taken) >= 1
    assert taken == pytest.approx(round(taken))


@pytest.mark.parametrize("step", [0, -1])
def test_without_steps_nobody_waits(step: float) -> None:
    assert steps.wait_seconds(began=100, now=100.03, step=step) == 0


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        (Rights("user:1", frozenset({READ, SENSITIVE})), False),
        (Rights("user:1", frozenset({READ})), True),
        (Rights("user:1", frozenset({OWN, SENSITIVE}), "1"), True),
        (Rights("user:1", frozenset({READ, SENSITIVE}), models=frozenset({"doctors.doctor"})), True),
        (Rights("user:1", frozenset({READ, SENSITIVE}), labels={"department": frozenset({"3"})}), True),
        (Rights("user:1", frozenset()), True),
    ],
)
def test_they_are_for_those_from_whom_rows_or_values_are_hidden(rights: Rights, expected: bool) -> None:
    assert steps.is_needed(rights) is expected


@pytest.mark.parametrize("is_true", [True, False])
def test_a_block_that_fails_is_held_as_well(monkeypatch: pytest.MonkeyPatch, settings: Any, is_true: bool) -> None:
    settings.AUDITLOG_ANSWER_STEP_SECONDS = 0.25
    instants, slept = iter([100.0, 100.0625]), list[float]()
    monkeypatch.setattr(steps, "monotonic", lambda: next(instants))
    monkeypatch.setattr(steps, "sleep", slept.append)

    with pytest.raises(ZeroDivisionError), steps.held(if_true=lambda: is_true):
        _ = 1 / 0
    assert slept == ([0.1875] if is_true else [])
