"""How the audit API writes its answers: JSON in which no number of an event loses a digit."""

from __future__ import annotations

from typing import Any

from rest_framework.renderers import JSONRenderer

from auditlog import exact_json

# Ends of lines to JavaScript, or to programs that know Unicode's, and plain characters to JSON.
ESCAPED = {"\u0085".encode(): rb"\u0085", "\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029"}


class ExactJSONRenderer(JSONRenderer):
    """`application/json`, with decimals as numbers."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the bytes of an answer; empty where there is none."""
        if data is None:
            return b""
        return one_line(data, indent=self.get_indent(accepted_media_type or "", renderer_context or {}))


def one_line(data: Any, *, indent: int | None = None) -> bytes:
    """Return JSON text without a character that somebody takes for the end of a line; with them, where indented."""
    text = exact_json.encode(data, indent=indent)
    for character, escape in ESCAPED.items():
        text = text.replace(character, escape)
    return text
