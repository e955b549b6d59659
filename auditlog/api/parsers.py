"""JSON bodies that can be answered: an error that quotes the body must be able to quote it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from auditlog.api.problems import PayloadTooLarge


class BoundedJSONParser(JSONParser):
    """
    JSON of a bounded size, whose nesting Python can follow and whose text is Unicode.

    Django's own limit covers bodies that it reads itself (for the form's CSRF token, say); the framework's parser
    reads the stream to its end.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """
        Return the parsed body.

        :raises PayloadTooLarge: over DATA_UPLOAD_MAX_MEMORY_SIZE bytes.
        :raises ParseError: for malformed and too deeply nested JSON, and for half a surrogate pair.
        """
        limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        content = stream.read(limit + 1)
        if len(content) > limit:
            raise PayloadTooLarge
        try:
            body = super().parse(io.BytesIO(content), media_type, parser_context)
            # "\ud800" is valid JSON and no text: it could be neither stored nor sent back.
            json.dumps(body, ensure_ascii=False).encode()
        except RecursionError as exc:
            raise ParseError("The JSON is nested too deeply.") from exc
        except UnicodeEncodeError as exc:
            raise ParseError("The JSON holds half a surrogate pair.") from exc
        return body
