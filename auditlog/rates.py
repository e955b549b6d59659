"""
How many tokens a caller may use up in a window of time: counted in Django's cache, by one atomic increment a call.

Windows are fixed: they begin at the same moments for everybody, so that a caller may use the tokens of two windows
around the moment when one ends. With Redis, all processes count together; without, each process counts for itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.core.cache import cache

from auditlog import metrics

log = structlog.get_logger(__name__)

# After a failure the cache is left alone for so long: a call must not wait for it each time.
PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left to a caller."""

    limit: int
    remaining: int
    reset_seconds: int
    is_exceeded: bool


class RateLimiter:
    """Counts tokens; lets everybody in while the cache is away."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._asked_again_at = 0.0

    def use(self, caller: str, *, cost: int, limit: int, seconds: int) -> Allowance | None:
        """Use up tokens of a caller and return what is left; None where nothing is limited or can be counted."""
        now = self._clock()
        if limit == 0 or now < self._asked_again_at:
            return None
        window, passed = divmod(int(now), seconds)
        # A name may be long, and hold what a cache's keys may not.
        key = f"auditlog:rate:{window}:{hashlib.sha256(caller.encode(errors='replace')).hexdigest()}"
        try:
            used = _increment(key, cost, seconds)
        except Exception as exc:  # noqa: BLE001 - each cache has errors of its own, and none may take the API down
            self._asked_again_at = now + PAUSE_SECONDS
            metrics.RATE_LIMIT_FAILURES.inc()
            log.warning("api.rate_limit_unavailable", error=type(exc).__name__)
            return None
        return Allowance(limit, max(limit - used, 0), seconds - passed, used > limit)


def _increment(key: str, cost: int, seconds: int) -> int:
    try:
        return int(cache.incr(key, cost))
    except ValueError:  # the first of the window, unless another was faster
        return cost if cache.add(key, cost, seconds) else int(cache.incr(key, cost))


limiter = RateLimiter()
