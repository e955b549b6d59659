"""Tokens of the audit API's rate limits in Redis: counted by all processes together, by nobody while it is away."""

from __future__ import annotations

from auditlog.rates import PAUSE_SECONDS, Allowance, RateLimiter
from tests.integration.doctors.cache.conftest import Redis


class Clock:
    """A clock that is moved by hand."""

    at = 120.0

    def __call__(self) -> float:
        return self.at


def test_processes_count_together(redis: Redis) -> None:
    one, other = RateLimiter(clock=Clock()), RateLimiter(clock=Clock())
    assert one.use("a", cost=2, limit=4, seconds=60) == Allowance(4, 2, 60, False)
    assert other.use("a", cost=2, limit=4, seconds=60) == Allowance(4, 0, 60, False)
    assert one.use("a", cost=1, limit=4, seconds=60) == Allowance(4, 0, 60, True)


def test_a_redis_that_is_away_lets_everybody_in_and_is_left_alone_for_a_while(redis: Redis) -> None:
    clock = Clock()
    limiter = RateLimiter(clock=clock)
    redis.stop()
    assert limiter.use("a", cost=1, limit=1, seconds=60) is None
    redis.start()
    clock.at += PAUSE_SECONDS - 1
    assert limiter.use("a", cost=9, limit=1, seconds=60) is None
    clock.at += 1
    assert limiter.use("a", cost=1, limit=1, seconds=60) == Allowance(1, 0, 50, False)
