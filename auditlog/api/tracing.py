"""
The trace of a request: its span, where tracing is on, and its ids on every line of the log that is written meanwhile.

The span is named by the route, not by the path, and knows no query, header or body: those may hold secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from structlog.contextvars import bound_contextvars

from auditlog import tracing
from auditlog.api.timing import METHODS
from auditlog.request import PATH_CHARACTERS, TRACEPARENT_KEY, log_fields
from auditlog.text import clean
from auditlog.tracing import Service

if TYPE_CHECKING:
    from auditlog.spans import OpenSpan, Tracer

# Answers that make a span one of an error.
SERVER_ERRORS = 500
CARRIED = ("traceparent", "tracestate")

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def TracingMiddleware(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:  # noqa: N802 - like a class
    """Trace the requests. Place it right behind the probes."""
    tracer = tracing.tracer(Service.API)
    if iscoroutinefunction(get_response):
        handle_async = cast("AsyncHandler", get_response)

        async def middleware_async(request: HttpRequest) -> HttpResponseBase:
            with _traced(request, tracer) as span:
                response = await handle_async(request)
            return _answered(request, response, span)

        return markcoroutinefunction(middleware_async)
    handle = cast("Handler", get_response)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with _traced(request, tracer) as span:
            response = handle(request)
        return _answered(request, response, span)

    return middleware


@contextmanager
def _traced(request: HttpRequest, tracer: Tracer | None) -> Iterator[OpenSpan | None]:
    span = _span(request, tracer) if tracer is not None else None
    with bound_contextvars(**log_fields(request)), span.current() if span is not None else nullcontext():
        try:
            yield span
        except BaseException as exc:
            if span is not None:
                span.end(attributes={}, error=type(exc).__name__)
            raise


def _span(request: HttpRequest, tracer: Tracer) -> OpenSpan | None:
    """Begin the span of a request, and have its events carry it; where another instrumentation did, carry that one."""
    from auditlog import spans

    if (foreign := spans.foreign_traceparent()) is not None:
        request.META[TRACEPARENT_KEY] = foreign
        return None
    method = _method(request)
    span = tracer.start(
        method,
        kind=spans.SpanKind.SERVER,
        carrier={name: value for name in CARRIED if (value := request.headers.get(name))},
        attributes={
            "http.request.method": method,
            "url.scheme": request.scheme or "http",
            "url.path": clean(request.path, limit=PATH_CHARACTERS),
        },
    )
    if span is not None:
        request.META[TRACEPARENT_KEY] = span.traceparent
    return span


def _answered(request: HttpRequest, response: HttpResponseBase, span: OpenSpan | None) -> HttpResponseBase:
    """Have the span end after the last byte of the answer."""
    if span is not None:
        closers: list[Callable[[], None]] = cast("Any", response)._resource_closers
        closers.append(lambda: _end(request, response, span))
    return response


def _end(request: HttpRequest, response: HttpResponseBase, span: OpenSpan) -> None:
    status = response.status_code
    attributes: dict[str, str | int] = {"http.response.status_code": status}
    name = _method(request)
    if request.resolver_match is not None:
        route = f"/{request.resolver_match.route}"
        attributes["http.route"] = route
        name = f"{name} {route}"
    span.end(attributes=attributes, error=str(status) if status >= SERVER_ERRORS else None, name=name)


def _method(request: HttpRequest) -> str:
    """Return the method; as the conventions have it, one name for all that are made up."""
    return request.method if request.method in METHODS else "_OTHER"
