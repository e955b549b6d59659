"""Whom an event is about, and where it belongs: out of what it declares and its images. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from consumers.changes import Image

# Longer ones are left out: an index entry holds 2,700 bytes, and no event is refused for what it is found by.
LONGEST = 500
DIGITS = b"-0123456789"

# Before and after.
Images = tuple[Image | None, Image | None]

_text = msgspec.json.Decoder(str).decode


def subjects(*, own: str | None, columns: Mapping[str, str], images: Images, named: Collection[str]) -> list[str]:
    """
    Return each subject once: the object itself, those of its columns before and after, and those that are named.

    `columns` says of which model the key in a column is: a moved appointment is about both patients.
    """
    if own is None and not columns and not named:
        return []
    found = _found(((model, column) for column, model in columns.items()), images)
    return _once([*([] if own is None else [own]), *found, *named])


def labels(*, columns: Mapping[str, str], images: Images, named: Collection[str]) -> list[str]:
    """Return each label once, "dimension:value": those of columns before and after, and those that are named."""
    return _once([*_found(columns.items(), images), *named]) if columns or named else []


def _once(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if len(name) <= LONGEST]


def _found(columns: Iterable[tuple[str, str]], images: Images) -> list[str]:
    """Return the texts of columns, each after what the column stands for, in both images."""
    return [
        f"{kind}:{text}"
        for kind, column in columns
        for image in images
        if image and (value := image.get(column)) and (text := _plain(bytes(value)))
    ]


def _plain(value: bytes) -> str | None:
    """Return the text of a JSON value; none of what is null, true or false, or has parts."""
    if value.startswith(b'"'):
        return _text(value)
    return value.decode() if value[0] in DIGITS else None
