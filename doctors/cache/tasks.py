"""Forgetting in the background, for when the cache was away."""

from __future__ import annotations

from django_tasks import task

from doctors.cache.invalidator import CacheInvalidator


@task
def forget_later(keys: list[str], patterns: list[str]) -> None:
    """Delete keys and patterns; tried again until the cache answers."""
    CacheInvalidator(keys, patterns).execute()
