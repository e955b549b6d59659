"""JSON bodies that can be answered: an error that quotes the body must be able to quote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class BoundedJSONParser(JSONParser):
    """JSON whose nesting Python can follow and whose text is Unicode."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """
        Return the parsed body.

        :raises ParseError: for malformed and too deeply nested JSON, and for half a surrogate pair.
        """
        try:
            body = super().parse(stream, media_type, parser_context)
            # "\ud800" is valid JSON and no text: it could be neither stored nor sent back.
            json.dumps(body, ensure_ascii=False).encode()
        except RecursionError as exc:
            raise ParseError("The JSON is nested too deeply.") from exc
        except UnicodeEncodeError as exc:
            raise ParseError("The JSON holds half a surrogate pair.") from exc
        return body
