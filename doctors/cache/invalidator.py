"""
Forgets what is kept of rows that were written: collected during a transaction, done once after its commit.

Before the commit it would be too early: whoever reads in between would keep the old rows for everybody. After a
rollback nothing is forgotten.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import structlog
from django.core.cache import cache
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

# Moves whenever something is forgotten: a value that was computed meanwhile is not kept, see `doctors.cache.reading`.
FENCE = "doctors:forgotten"
# Longer than any reader takes between asking the database and keeping the answer.
FENCE_SECONDS = 300
# Keys that Redis looks at in one step of a SCAN.
SCAN_KEYS = 1_000
CACHE_ERRORS = (RedisError, OSError)


class CacheInvalidator:
    """Keys and patterns to be deleted together."""

    def __init__(self, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self.keys = set(keys)
        self.patterns = set(patterns)

    def add(self, *keys: str) -> None:
        """Delete these keys too."""
        self.keys.update(keys)

    def add_pattern(self, *patterns: str) -> None:
        """Delete all keys too that match one of these globs."""
        self.patterns.update(patterns)

    def execute(self) -> None:
        """
        Delete everything that was added, with as few commands as there are patterns and one or two for all keys.

        :raises redis.exceptions.RedisError: if Redis is away; nothing was forgotten, and it can be repeated.
        """
        if not self.keys and not self.patterns:
            return
        cache.set(FENCE, uuid.uuid4().hex, FENCE_SECONDS)
        if self.keys:
            cache.delete_many(sorted(self.keys))
        for pattern in sorted(self.patterns):
            # SCAN in steps, on Redis: KEYS would block it for everybody.
            cache.delete_pattern(pattern, itersize=SCAN_KEYS)  # type: ignore[attr-defined]
        self.keys.clear()
        self.patterns.clear()

    def execute_or_enqueue(self) -> None:
        """Delete everything that was added; in the background, if the cache is away now."""
        try:
            self.execute()
        except CACHE_ERRORS as exc:
            from doctors.cache.tasks import forget_later

            # The change has committed: what the cache keeps must go as soon as it can be reached again.
            log.warning("cache.unavailable", error=type(exc).__name__)
            forget_later.enqueue(keys=sorted(self.keys), patterns=sorted(self.patterns))


def forget(*keys: str, patterns: Iterable[str] = (), using: str) -> None:
    """
    Delete keys and patterns after the commit of the current transaction, with all others of it; at once in autocommit.

    Fails no write, whatever the cache does.
    """
    connection = connections[using]
    pending = _pending(connection)
    if pending is not None:
        pending.add(*keys)
        pending.add_pattern(*patterns)
        return
    invalidator = CacheInvalidator(keys, patterns)
    if connection.in_atomic_block or connection.get_autocommit():
        # A method and no `partial`: Django names what failed, and partials have no name.
        transaction.on_commit(invalidator.execute_or_enqueue, using=using, robust=True)
    else:
        # Whoever manages transactions by hand has no hook: too early is better than never.
        invalidator.execute_or_enqueue()


def _pending(connection: BaseDatabaseWrapper) -> CacheInvalidator | None:
    """Return what will be executed after the commit; a savepoint that rolls back takes what was made in it away."""
    for _, hook, *_ in reversed(connection.run_on_commit):
        owner = getattr(hook, "__self__", None)
        if isinstance(owner, CacheInvalidator):
            return owner
    return None
