"""Attributes the writes of a request to it; under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from auditlog.context import request_scope
from auditlog.frames import frames_scope
from auditlog.request import RequestFacts

REQUEST_ID_HEADER = "X-Request-ID"
Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def AuditlogMiddleware(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:  # noqa: N802 - a fixed name
    """
    Open the circumstances of a request before the view runs and close them after it, and for each part of an answer
    that is made while it is sent.

    Place it after Django's authentication middleware. The answer carries the request id.
    """
    if iscoroutinefunction(get_response):
        handle_async = cast("AsyncHandler", get_response)

        async def middleware_async(request: HttpRequest) -> HttpResponseBase:
            facts = RequestFacts(request)
            with request_scope(facts), frames_scope():
                response = await handle_async(request)
            return _answered(response, facts)

        return markcoroutinefunction(middleware_async)
    handle = cast("Handler", get_response)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        facts = RequestFacts(request)
        with request_scope(facts), frames_scope():
            response = handle(request)
        return _answered(response, facts)

    return middleware


def _answered(response: HttpResponseBase, facts: RequestFacts) -> HttpResponseBase:
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        parts: Any = response.streaming_content
        response.streaming_content = _async_parts(parts, facts) if response.is_async else _parts(parts, facts)
    if isinstance(response, HttpResponse) or hasattr(response, "headers"):
        response.headers.setdefault(REQUEST_ID_HEADER, facts.request_id)
    return response


def _parts(parts: Iterable[bytes], facts: RequestFacts) -> Iterator[bytes]:
    iterator = iter(parts)
    while True:
        # Closed between two parts: whoever sends them does other things meanwhile.
        with request_scope(facts), frames_scope():
            try:
                part = next(iterator)
            except StopIteration:
                return
        yield part


async def _async_parts(parts: AsyncIterable[bytes], facts: RequestFacts) -> AsyncIterator[bytes]:
    iterator = aiter(parts)
    while True:
        with request_scope(facts), frames_scope():
            try:
                part = await anext(iterator)
            except StopAsyncIteration:
                return
        yield part
