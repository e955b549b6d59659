"""Django's cache in the memory of the process, with what Redis can do on top: deleting by pattern."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from django.core.cache.backends.locmem import LocMemCache


class MemoryCache(LocMemCache):
    """The default where no CACHE_URL is given. Each process has one of its own."""

    def delete_pattern(self, pattern: str, version: int | None = None, **_options: Any) -> int:
        """Delete the keys that match a glob, as `django_redis` does, and return how many there were."""
        wanted = self.make_key(pattern, version=version)
        # What the stubs do not know of.
        memory: Any = self
        with memory._lock:
            found = [key for key in memory._cache if fnmatchcase(key, wanted)]
            for key in found:
                memory._delete(key)
        return len(found)
