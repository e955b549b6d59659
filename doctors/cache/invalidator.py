"""
Forgets what is kept of rows that were written: collected during a transaction, done once after its commit.

Before the commit it would be too early: whoever reads in between would keep the old rows for everybody. After a
rollback nothing is forgotten.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import partial

import structlog
from django.core.cache import cache
from django.db import connections, transaction
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


def after_commit(using: str) -> CacheInvalidator:
    """
    Return what will be executed after the commit of the current transaction: the same for all that is written in it.

    In autocommit mode it is `forget` that the caller wants: there is nothing to wait for.
    """
    connection = connections[using]
    for _, hook, *_ in reversed(connection.run_on_commit):
        # A savepoint that rolls back takes hooks away that were made in it: one that is there will be run.
        if isinstance(hook, partial) and hook.func is _execute:
            found: CacheInvalidator = hook.args[0]
            return found
    invalidator = CacheInvalidator()
    transaction.on_commit(partial(_execute, invalidator), using=using, robust=True)
    return invalidator


def forget(*keys: str, patterns: Iterable[str] = (), using: str) -> None:
    """Delete keys and patterns after the commit of the current transaction; at once in autocommit mode."""
    if connections[using].in_atomic_block:
        invalidator = after_commit(using)
        invalidator.add(*keys)
        invalidator.add_pattern(*patterns)
    else:
        _execute(CacheInvalidator(keys, patterns))


def _execute(invalidator: CacheInvalidator) -> None:
    try:
        invalidator.execute()
    except CACHE_ERRORS as exc:
        from doctors.cache.tasks import forget_later

        # The change has committed: what the cache keeps must go as soon as it can be reached again.
        log.warning("cache.unavailable", error=type(exc).__name__)
        forget_later.enqueue(keys=sorted(invalidator.keys), patterns=sorted(invalidator.patterns))
