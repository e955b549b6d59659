"""Answers with contents that are too large to be in memory as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from auditlog.api import etags
from auditlog.queries.contents import Content


def streamed(request: HttpRequest, content: Content, *, etag: str) -> HttpResponseBase:
    """Return the bytes of a content, a chunk at a time; to whoever has them, that they are not modified."""
    response = etags.not_modified(request, etag)
    if response is None:
        parts = content.parts()
        response = StreamingHttpResponse(
            _from_threads(parts) if isinstance(request, ASGIRequest) else parts, content_type="application/json"
        )
        response["Content-Length"] = str(content.size)
    response["ETag"] = etag
    return response


async def _from_threads(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the parts, each read in the thread that may use the request's database connections."""
    read = sync_to_async(_next)
    while (part := await read(parts)) is not None:
        yield part


def _next(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)
