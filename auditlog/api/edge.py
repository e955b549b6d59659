"""Refuses, before anything else looks at a request, what no view could read."""

from __future__ import annotations

import codecs
import contextlib

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.utils.deprecation import MiddlewareMixin
from rest_framework import exceptions

from auditlog.api.handlers import is_api
from auditlog.api.problems import InvalidFilter, PayloadTooLarge, answer

ENCODINGS = frozenset({"utf-8", "ascii"})
# A client that is still sending when the connection closes sees a reset in place of the answer. Bodies up to this size
# are read to their end and thrown away.
DRAINED_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 64 * 1024


class LengthRequired(exceptions.APIException):
    """A body of unknown length, which Django would take for an empty one."""

    status_code = 411
    default_detail = "Send a Content-Length: a body in chunks is not read."


class EdgeMiddleware(MiddlewareMixin):
    """
    Answers requests that would fail deep inside or be misread; drops cookies that no browser of ours got.

    Place it first: sessions and the database must not meet a NUL.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Refuse the request, or let it in."""
        error = _refusal(request)
        if error is not None:
            return _refused(request, error)
        # A quoted cookie may hold any character, written as an octal escape.
        for name in [name for name, value in request.COOKIES.items() if not value.isprintable()]:
            del request.COOKIES[name]
        return None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Read what is left of the body."""
        if 0 < _content_length(request) <= DRAINED_BYTES:
            # The client may be gone, or a form parser have closed the stream.
            with contextlib.suppress(OSError, ValueError):
                while request.read(CHUNK_BYTES):
                    pass
        return response


class SameMethodRedirect(HttpResponsePermanentRedirect):
    """Not 301, on which a client repeats a POST as a GET, and takes the answer to that for success."""

    status_code = 308


class SlashMiddleware(CommonMiddleware):
    """Django's, which leads an address without its last slash to the one with it."""

    response_redirect_class = SameMethodRedirect


def _refusal(request: HttpRequest) -> exceptions.APIException | None:
    if not _is_unicode(request.content_params.get("charset") if request.content_params else None):
        return exceptions.UnsupportedMediaType("", "Bodies are UTF-8; the Content-Type names another charset.")
    if "\x00" in request.path_info:
        return exceptions.NotFound("No address holds a NUL character.")
    if "\x00" in (query := request.META.get("QUERY_STRING", "")) or "%00" in query:
        detail = ("invalid_value", "The value holds a NUL character.")
        return InvalidFilter(
            {
                name.replace("\x00", "\ufffd")[:100]: detail
                for name, values in request.GET.lists()
                if "\x00" in name + "".join(values)
            }
        )
    if not is_api(request):
        return None
    if request.headers.get("Transfer-Encoding") and not request.headers.get("Content-Length"):
        return LengthRequired()
    return PayloadTooLarge() if _content_length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE else None


def _refused(request: HttpRequest, error: exceptions.APIException) -> HttpResponse:
    if is_api(request):
        return answer(error, request=request)
    return HttpResponse("The request cannot be understood.", status=error.status_code, content_type="text/plain")


def _is_unicode(charset: str | None) -> bool:
    try:
        return charset is None or codecs.lookup(charset).name in ENCODINGS
    except (LookupError, ValueError):
        return False


def _content_length(request: HttpRequest) -> int:
    given = request.META.get("CONTENT_LENGTH") or ""
    return int(given) if given.isascii() and given.isdigit() else 0
