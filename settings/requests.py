"""A request whose Content-Type Django cannot parse: it is one without a Content-Type, not a crash before any view."""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest


def _parsed_or_dropped(parse: Any, meta: dict[str, Any]) -> None:
    try:
        parse(meta)
    except ValueError:
        # Kept out of META as well: other code parses it again.
        parse(meta | {"CONTENT_TYPE": ""})
        meta["CONTENT_TYPE"] = ""


class TolerantWSGIRequest(WSGIRequest):
    """Under WSGI."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        _parsed_or_dropped(super()._set_content_type_params, meta)  # type: ignore[misc]


class TolerantASGIRequest(ASGIRequest):
    """Under ASGI."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        _parsed_or_dropped(super()._set_content_type_params, meta)  # type: ignore[misc]


class TolerantWSGIHandler(WSGIHandler):
    """Under WSGI."""

    request_class = TolerantWSGIRequest


class TolerantASGIHandler(ASGIHandler):
    """Under ASGI."""

    request_class = TolerantASGIRequest
