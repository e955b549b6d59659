"""Tokens: used up, and given again in the next window."""

from __future__ import annotations

import threading

import pytest
from django.core.cache import cache

from auditlog.rates import Allowance, RateLimiter


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    cache.clear()
    return Clock(120.0)


def test_tokens_are_used_up_and_given_again(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    assert limiter.use("a", cost=2, limit=5, seconds=60) == Allowance(5, 3, 60, False)
    clock.at = 150.0
    assert limiter.use("a", cost=3, limit=5, seconds=60) == Allowance(5, 0, 30, False)
    assert limiter.use("a", cost=1, limit=5, seconds=60) == Allowance(5, 0, 30, True)
    assert limiter.use("b", cost=1, limit=5, seconds=60) == Allowance(5, 4, 30, False)
    clock.at = 180.0
    assert limiter.use("a", cost=1, limit=5, seconds=60) == Allowance(5, 4, 60, False)


def test_no_limit_counts_nothing(clock: Clock) -> None:
    assert RateLimiter(clock=clock).use("a", cost=9, limit=0, seconds=60) is None


def test_calls_at_the_same_moment_are_all_counted(clock: Clock) -> None:
    limiter = RateLimiter(clock=clock)
    start = threading.Barrier(8)

    def call() -> None:
        start.wait()
        for _ in range(50):
            limiter.use("a", cost=1, limit=1_000, seconds=60)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limiter.use("a", cost=1, limit=1_000, seconds=60) == Allowance(1_000, 1_000 - 401, 60, False)
