"""
One line in the log for each request: what was asked, how it was answered, how long it took, and who it was.

Its request id is that of the audit events that the request caused. Paths are logged without the query, and nothing of
headers or bodies: those may hold secrets.

`request_finished` does not say which request has finished, and under ASGI it is sent from another task, which sees no
context variable of the request. So `request_started` leaves the time with the request itself, and the line is written
when the response is closed: after its last byte, and right before `request_finished`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import LazyObject, empty

from auditlog.request import PATH_CHARACTERS, log_fields
from auditlog.text import clean

log = structlog.get_logger(__name__)

STARTED_AT = "auditlog.started_at"
ALL_PERCENT = 100
# Answers that are logged whatever is sampled.
SERVER_ERRORS = 500
METHOD_CHARACTERS = 16

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def note_start(environ: dict[str, Any] | None = None, scope: dict[str, Any] | None = None, **_kwargs: Any) -> None:
    """request_started: note the time where the request will carry it."""
    carrier = environ if environ is not None else scope
    if carrier is not None:
        carrier[STARTED_AT] = time.perf_counter()


@sync_and_async_middleware
def RequestLogMiddleware(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:  # noqa: N802 - like a class
    """Log the requests, those of AUDITLOG_REQUEST_LOG_PERCENT of 100. Place it behind the probes, before all others."""
    if iscoroutinefunction(get_response):
        handle_async = cast("AsyncHandler", get_response)

        async def middleware_async(request: HttpRequest) -> HttpResponseBase:
            try:
                response = await handle_async(request)
            except asyncio.CancelledError:
                log.info("request.aborted", **_asked(request))
                raise
            return _logged(request, response)

        return markcoroutinefunction(middleware_async)
    handle = cast("Handler", get_response)
    return lambda request: _logged(request, handle(request))


def is_sampled(status: int, *, draw: Callable[[int], int] = secrets.randbelow) -> bool:
    """Tell whether a request is logged; `draw(n)` gives a number from 0 to below n."""
    if status >= SERVER_ERRORS:
        return True
    return draw(ALL_PERCENT) < int(getattr(settings, "AUDITLOG_REQUEST_LOG_PERCENT", ALL_PERCENT))


def _logged(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if is_sampled(response.status_code):
        closers: list[Callable[[], None]] = cast("Any", response)._resource_closers
        closers.append(lambda: _finished(request, response))
    return response


def _finished(request: HttpRequest, response: HttpResponseBase) -> None:
    log.info("request.finished", **_asked(request), status=response.status_code, user=_user_id(request))


def _asked(request: HttpRequest) -> dict[str, Any]:
    carrier: dict[str, Any] = getattr(request, "scope", request.META)
    started_at: float | None = carrier.get(STARTED_AT)
    milliseconds = None if started_at is None else round((time.perf_counter() - started_at) * 1000, 1)
    return {
        "method": clean(request.method or "", limit=METHOD_CHARACTERS),
        "path": clean(request.path, limit=PATH_CHARACTERS),
        "milliseconds": milliseconds,
        # No longer bound to the context: the middleware that does it has returned.
        **log_fields(request),
    }


def _user_id(request: HttpRequest) -> str | None:
    """Return the key of the user, if anything in the request asked who it is: asking now would cost a statement."""
    user: Any = getattr(request, "user", None)
    if isinstance(user, LazyObject) and cast("Any", user)._wrapped is empty:
        return None
    key = getattr(user, "pk", None)
    return None if key is None else str(key)
