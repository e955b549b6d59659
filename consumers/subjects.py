"""Whom an event is about, and where it belongs: out of what it declares and its images. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from consumers.changes import Image

# Longer ones are left out: an index entry holds 2,700 bytes, and no event is refused for what it is found by.
LONGEST = 500
DIGITS = b"-0123456789"

_text = msgspec.json.Decoder(str).decode


def subjects(
    *, own: str | None, columns: Mapping[str, str], images: Iterable[Image | None], named: Iterable[str]
) -> list[str]:
    """
    Return each subject once: the object itself, those of its columns before and after, and those that are named.

    `columns` says of which model the key in a column is: a moved appointment is about both patients.
    """
    found = (f"{model}:{key}" for column, model in columns.items() for key in _values(images, column))
    return _once(*([own] if own is not None else []), *found, *named)


def labels(*, columns: Mapping[str, str], images: Iterable[Image | None], named: Iterable[str]) -> list[str]:
    """Return each label once, "dimension:value": those of columns before and after, and those that are named."""
    found = (f"{dimension}:{value}" for dimension, column in columns.items() for value in _values(images, column))
    return _once(*found, *named)


def _once(*names: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if len(name) <= LONGEST]


def _values(images: Iterable[Image | None], column: str) -> Iterator[str]:
    """Yield the texts of a column; none of what is empty, null, true or false, or has parts."""
    for image in images:
        value = bytes(image[column]) if image and column in image else b"null"
        if value.startswith(b'"') and value != b'""':
            yield _text(value)
        elif value[0] in DIGITS:
            yield value.decode()
