"""JSON whose numbers keep every digit: a float has about 17, and a document of an application may have more."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number")


class ExactDecoder(json.JSONDecoder):
    """Decodes numbers that are no integers as `Decimal`; the decoder of the audit log's JSON columns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, parse_float=Decimal, **kwargs)


def encode(value: Any, *, indent: int | None = None) -> bytes:
    """Return JSON text in UTF-8, with each `Decimal` as the number that it is."""
    text = _encoder.encode(value)
    return text if indent is None else msgspec.json.format(text, indent=indent)
