"""How the audit API writes its answers: JSON in which no number of an event loses a digit."""

from __future__ import annotations

from typing import Any

from rest_framework.renderers import JSONRenderer

from auditlog import exact_json

# Ends of lines to JavaScript, and plain characters to JSON.
ESCAPED = {"\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029"}


class ExactJSONRenderer(JSONRenderer):
    """`application/json`, with decimals as numbers."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the bytes of an answer; empty where there is none."""
        if data is None:
            return b""
        text = exact_json.encode(data, indent=self.get_indent(accepted_media_type or "", renderer_context or {}))
        for character, escape in ESCAPED.items():
            text = text.replace(character, escape)
        return text
