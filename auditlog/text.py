"""Text from outside, made safe to store: PostgreSQL's jsonb refuses NUL and lone surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

REPLACEMENT = "\ufffd"


def clean(text: str, *, limit: int | None = None) -> str:
    """Return `text` without NUL and lone surrogates, cut to `limit` characters."""
    cut = text if limit is None else text[:limit]
    if cut.isprintable():  # false for NUL, for surrogates, and for harmless line breaks
        return cut
    return cut.replace("\x00", REPLACEMENT).encode("utf-8", "replace").decode("utf-8")


def encode(value: Any) -> str:
    """Return `value` as JSON text that can be stored anywhere: decimals and unknown types as text, strings cleaned."""
    return msgspec.json.encode(_cleaned(value), enc_hook=str).decode()


def key_text(key: Any) -> str:
    """Return a primary key as the text that stands for the object: a composite one as a JSON array."""
    return encode(list(key)) if isinstance(key, tuple) else str(key)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(item) for item in value]
    return value
