"""The jars of Apache Kafka: each pinned by coordinate and SHA-256 in `kafka-jars.lock`, fetched once per user."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

LOCK = Path(__file__).with_name("kafka-jars.lock")


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    coordinate: str  # group:artifact:version
    sha256: str


def locked_jars(lock: Path = LOCK) -> list[Jar]:
    """Return the jars that the lock file names."""
    lines = [line.split() for line in lock.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return [Jar(coordinate, sha256) for coordinate, sha256 in lines]


def cache_dir() -> Path:
    """Return the user's cache, which outlives `make clean`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "auditlog-cdc"


def fetch(
    *,
    progress: Callable[[str], None],
    jars: Sequence[Jar] | None = None,
    download: Callable[[Jar], Path] | None = None,
) -> list[Path]:
    """
    Return the paths of all jars, downloading what the cache does not hold; every file is checked each time.

    :raises DevstackError: if a jar cannot be had, or is not the one that the lock file names.
    """
    wanted = locked_jars() if jars is None else jars
    paths = []
    for number, jar in enumerate(wanted, 1):
        path = cache_dir() / "jars" / f"{jar.coordinate.replace(':', '_')}.jar"
        try:
            if not path.exists() or _sha256(path) != jar.sha256:
                progress(f"downloading {jar.coordinate} ({number} of {len(wanted)})")
                _store(jar, path, download or _download)
        except OSError as exc:
            raise DevstackError(
                f"{path} cannot be written or read ({exc.strerror or exc}): make room or give yourself the right, or "
                "set XDG_CACHE_HOME to a folder of yours."
            ) from exc
        paths.append(path)
    return paths


def _store(jar: Jar, path: Path, download: Callable[[Jar], Path]) -> None:
    source = download(jar)
    if _sha256(source) != jar.sha256:
        # The downloader has a cache of its own, whose file may be the damaged one.
        source.unlink()
        source = download(jar)
    if (found := _sha256(source)) != jar.sha256:
        source.unlink()
        raise DevstackError(
            f"{jar.coordinate} has the SHA-256 {found}, not the {jar.sha256} of {LOCK.name}: it was not used. "
            "Try again; if it stays like that, the repository it came from must not be trusted."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process may do the same: whoever comes last replaces a whole file by the same whole file.
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(source.read_bytes())
    partial.replace(path)


def _download(jar: Jar) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version = jar.coordinate.split(":")
    try:
        context = MavenContext(repo_cache=cache_dir() / "maven")
        found = context.project(group, artifact).at_version(version).artifact().resolve()
    except Exception as exc:
        raise DevstackError(
            f"{jar.coordinate} could not be downloaded ({exc}). Apache Kafka is needed once: check the network or "
            "the proxy, or set KAFKA_BOOTSTRAP_SERVERS to a Kafka of yours."
        ) from exc
    return Path(found)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
