"""Where exports go: files that appear under their name once they are whole, or a pipe; with a digest of all bytes."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

# Others may not read what somebody exports, unless they are let.
MODE = 0o600


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> object:
        """Write all of the bytes."""


class Digested:
    """Passes bytes on, and knows their SHA-256."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Write bytes that belong to the content."""
        self._hash.update(data)
        self._sink.write(data)

    @property
    def sha256(self) -> str:
        """The digest of what was written until now."""
        return self._hash.hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """
    Write a file that appears under its name when the block has ended well, and not at all otherwise.

    Until then it is a hidden file beside it, whose name says that it is a part; a process that is killed leaves that.

    :raises FileExistsError: if there is a file of this name.
    """
    if path.exists():
        raise FileExistsError(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link replaces no file that somebody else made meanwhile.
        os.link(partial, path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    _sync(path.parent)


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Write to whoever reads this process's output."""
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
