"""The cache in the memory of the process, and in a Redis of its own (Debian: redis-server)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from pytest_django import Settings

from devstack import ports
from tests.conftest import WaitUntil
from tests.extras import fixtures_of, leave_out_without

HERE = Path(__file__).parent
REDIS = "redis-server"


class Redis:
    """A server that can be stopped and started again, empty."""

    def __init__(self, wait_until: WaitUntil) -> None:
        self.port = ports.free_port()
        self._wait_until = wait_until
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_until(lambda: ports.answers(self.port))

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of Redis out where there is none."""
    leave_out_without(
        (REDIS,),
        tests="tests of the cache in Redis",
        packages="redis-server",
        needs=_needs_redis,
        config=config,
        items=items,
    )


def _needs_redis(item: pytest.Item) -> bool:
    if not item.path.is_relative_to(HERE):
        return False
    chosen = getattr(getattr(item, "callspec", None), "params", {}).get("kept_in", "redis")
    return "redis" in fixtures_of(item) and chosen == "redis"


@pytest.fixture
def redis(wait_until: WaitUntil, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """Keep the cache in a new Redis, with the settings that CACHE_URL gives."""
    from settings.cache import cache_settings

    server = Redis(wait_until)
    server.start()
    monkeypatch.setenv("CACHE_URL", server.url)
    settings.CACHES = cache_settings()
    settings.CACHE_SECONDS = 300
    yield server
    cache.close()
    server.stop()


@pytest.fixture(params=["memory", "redis"])
def kept_in(request: pytest.FixtureRequest, settings: Settings) -> Iterator[str]:
    """Keep the cache in the memory of the process, and in Redis."""
    where: str = request.param
    if where == "redis":
        request.getfixturevalue("redis")
    settings.CACHE_SECONDS = 300
    cache.clear()
    yield where
    cache.clear()
