"""Reads the file: streaming, with the line on which each row begins, whatever the dirt."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from doctors.clinicians.rows import COLUMNS, REQUIRED_COLUMNS, Rejected, Row, parse

CHUNK_BYTES = 1 << 20
CANONICAL = {name.lower(): name for name in COLUMNS}


class UnreadableFile(Exception):
    """The file is not a "Doctors and Clinicians" file; the message says what is wrong with it."""


class ClinicianFile:
    """
    An open file; iterating yields its rows and what cannot be used, each with its line number (the header is line 1).

    A byte order mark, either kind of line end, blank lines and blanks around header names are no problem.

    :raises UnreadableFile: if the file is missing, is not text in `encoding`, or has another header.
    """

    def __init__(self, path: Path, *, encoding: str = "utf-8") -> None:
        try:
            known = codecs.lookup(encoding).name
        except LookupError:
            raise UnreadableFile(f"{encoding!r} is not an encoding that Python knows.") from None
        self._encoding = "utf-8-sig" if known == "utf-8" else known
        self.path = path
        try:
            self._binary = path.open("rb")
        except OSError as exc:
            raise UnreadableFile(f"{path} cannot be read: {exc.strerror}.") from exc
        try:
            # Decoded once before anything is imported: a wrong encoding must not be found out half-way.
            self._check_encoding()
            self._reader = csv.reader(io.TextIOWrapper(self._binary, self._encoding, newline=""), strict=True)
            self.header = self._read_header()
        except BaseException:
            self._binary.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._binary.close()

    def __iter__(self) -> Iterator[Row | Rejected]:
        while True:
            line = self._reader.line_num + 1
            try:
                values = next(self._reader)
            except StopIteration:
                return
            except csv.Error as exc:
                yield Rejected(line, f"malformed CSV{self._extent(line)}: {exc}")
                continue
            if any(value.strip() for value in values):
                yield parse(line=line, header=self.header, values=values)

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size

    @property
    def position_bytes(self) -> int:
        """How far the file is read, up to a buffer."""
        return self._binary.tell()

    def _extent(self, line: int) -> str:
        """A quote that nobody closes swallows the lines up to the next one: say which."""
        return f" up to line {self._reader.line_num}" if self._reader.line_num > line else ""

    def _check_encoding(self) -> None:
        decoder: Any = codecs.getincrementaldecoder(self._encoding)()
        lines = 1
        try:
            while chunk := self._binary.read(CHUNK_BYTES):
                decoder.decode(chunk)
                lines += chunk.count(b"\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as exc:
            lines += exc.object[: exc.start].count(b"\n")
            raise UnreadableFile(
                f"{self.path} is not {self._encoding.removesuffix('-sig')} text (near line {lines}): "
                "name its encoding, for example --encoding latin-1."
            ) from None
        self._binary.seek(0)

    def _read_header(self) -> tuple[str, ...]:
        try:
            first = next(self._reader, [])
        except csv.Error as exc:
            raise UnreadableFile(f"The header of {self.path} is malformed: {exc}.") from exc
        header = tuple(CANONICAL.get(name.strip().lower(), name.strip()) for name in first)
        if missing := [name for name in REQUIRED_COLUMNS if name not in header]:
            raise UnreadableFile(
                f"{self.path} is no Doctors and Clinicians file: its header lacks {', '.join(missing)}."
            )
        if repeated := sorted({name for name in header if name and header.count(name) > 1}):
            raise UnreadableFile(f"The header of {self.path} names {', '.join(repeated)} more than once.")
        return header
