"""Reading through the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog
from django.conf import settings
from django.core.cache import cache

from doctors.cache.invalidator import CACHE_ERRORS, FENCE

log = structlog.get_logger(__name__)

T = TypeVar("T")


def cached(key: str, compute: Callable[[], T]) -> T:
    """
    Return what is kept under `key`, or compute it and keep it for CACHE_SECONDS; it must be what JSON can hold.

    None is not kept, and what was computed while something was forgotten neither: it may be older than that. Where the
    cache is away, or belongs to this process alone (no CACHE_URL), everything is computed.
    """
    if not settings.CACHE_SECONDS:
        return compute()
    try:
        kept = cache.get_many([key, FENCE])
    except CACHE_ERRORS as exc:
        log.warning("cache.unavailable", error=type(exc).__name__)
        return compute()
    if key in kept:
        found: T = kept[key]
        return found
    value = compute()
    try:
        if value is not None and cache.get(FENCE) == kept.get(FENCE):
            cache.set(key, value, settings.CACHE_SECONDS)
    except CACHE_ERRORS as exc:
        log.warning("cache.unavailable", error=type(exc).__name__)
    return value
