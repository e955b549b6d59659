"""The cache of jars."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from devstack import jars
from devstack.errors import DevstackError
from devstack.jars import Jar

CONTENT = b"the real jar"
JAR = Jar("org.example:thing:1.0", hashlib.sha256(CONTENT).hexdigest())


class Repository:
    """Hands out files one after another, and remembers how often it was asked."""

    def __init__(self, folder: Path, *contents: bytes) -> None:
        self.folder, self.contents, self.asked = folder, list(contents), 0

    def __call__(self, jar: Jar) -> Path:
        """Return the next file."""
        path = self.folder / f"download-{self.asked}.jar"
        path.write_bytes(self.contents[min(self.asked, len(self.contents) - 1)])
        self.asked += 1
        return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "auditlog-cdc" / "jars" / "org.example_thing_1.0.jar"


def fetch(repository: Repository) -> list[str]:
    """Fetch the jar and return what was said about it."""
    said: list[str] = []
    jars.fetch(progress=said.append, jars=[JAR], download=repository)
    return said


def test_a_jar_is_downloaded_once(tmp_path: Path, cache: Path) -> None:
    repository = Repository(tmp_path, CONTENT)
    assert fetch(repository) == ["downloading org.example:thing:1.0 (1 of 1)"]
    assert fetch(repository) == []
    assert repository.asked == 1
    assert cache.read_bytes() == CONTENT


def test_a_damaged_file_of_the_cache_is_fetched_anew(tmp_path: Path, cache: Path) -> None:
    repository = Repository(tmp_path, CONTENT)
    fetch(repository)
    cache.write_bytes(CONTENT[:-1])
    fetch(repository)
    assert cache.read_bytes() == CONTENT


def test_a_damaged_file_of_the_downloader_is_downloaded_again(tmp_path: Path, cache: Path) -> None:
    fetch(Repository(tmp_path, b"damaged", CONTENT))
    assert cache.read_bytes() == CONTENT


def test_a_jar_that_is_not_the_locked_one_is_never_used(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DevstackError, match="must not be trusted"):
        fetch(Repository(tmp_path, b"something else"))
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_named_with_a_way_out(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DevstackError, match="set XDG_CACHE_HOME"):
        fetch(Repository(tmp_path, CONTENT))


def test_every_line_of_the_lock_file_pins_a_jar() -> None:
    locked = jars.locked_jars()
    assert len(locked) == 46
    assert {len(jar.sha256) for jar in locked} == {64}
    assert {jar.coordinate.count(":") for jar in locked} == {2}
