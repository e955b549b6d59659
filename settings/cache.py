"""The cache: Redis where CACHE_URL names one, else the memory of each process."""

from __future__ import annotations

from typing import Any

from settings.env import env

# Answers of a cache that takes longer are computed instead; seconds.
TIMEOUT_SECONDS = 1.0


def cache_settings() -> dict[str, dict[str, Any]]:
    """Return CACHES for this process."""
    url = env.secret_url("CACHE_URL", schemes=("redis", "rediss"), example="redis://:password@host:6379/0")
    if not url:
        return {"default": {"BACKEND": "doctors.cache.memory.MemoryCache"}}
    options = {
        # Not pickle: whoever can write to Redis must not be able to run code here.
        "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
        "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
        "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
    }
    return {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url, "OPTIONS": options}}


CACHES = cache_settings()
# For how long answers are kept. The memory of one process knows nothing of what others write: nothing is kept there.
CACHE_SECONDS = env.integer("CACHE_SECONDS", default=300, maximum=86_400) * ("LOCATION" in CACHES["default"])
