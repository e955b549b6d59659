"""JSON whose numbers keep every digit: a float has about 17, and a document of an application may have more."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


class ExactDecoder(json.JSONDecoder):
    """
    Decodes numbers that are no integers as `Decimal`; the decoder of the audit log's JSON columns.

    One is made for each value of a column: nothing is set up in it.
    """

    def __init__(self) -> None:
        """There is nothing to choose."""

    def decode(self, text: str, *_whitespace: Any) -> Any:
        """
        Return the value of a JSON text.

        :raises msgspec.DecodeError: if it is none: PostgreSQL holds no such value.
        """
        return _decoder.decode(text)


def encode(value: Any, *, indent: int | None = None) -> bytes:
    """Return JSON text in UTF-8, with each `Decimal` as the number that it is."""
    text = _encoder.encode(value)
    return text if indent is None else msgspec.json.format(text, indent=indent)
