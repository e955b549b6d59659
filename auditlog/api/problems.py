"""Every error as RFC 9457 `application/problem+json`, with codes of one closed vocabulary and no value of ours."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

CONTENT_TYPE = "application/problem+json"
# An identifier, not an address to be fetched.
TYPES = "https://auditlog.invalid/problems/"
log = structlog.get_logger(__name__)


class Code(StrEnum):
    """`code` of a problem."""

    INVALID_FILTER = "invalid_filter"
    INVALID_CURSOR = "invalid_cursor"
    INVALID_BODY = "invalid_body"
    NOT_AUTHENTICATED = "not_authenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    THROTTLED = "throttled"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"


CODES = {
    401: Code.NOT_AUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    406: Code.UNSUPPORTED_MEDIA_TYPE,
    409: Code.CONFLICT,
    413: Code.PAYLOAD_TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    429: Code.THROTTLED,
    500: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
}


class PayloadTooLarge(exceptions.APIException):
    """A body over DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = 413
    default_detail = "The body is larger than this service accepts."


class Unavailable(exceptions.APIException):
    """A database does not answer."""

    status_code = 503
    default_detail = "A database does not answer at the moment: try again later."


class InvalidFilter(exceptions.ValidationError):
    """Query parameters that cannot be understood: {parameter: (code, detail)}."""

    def __init__(self, errors: dict[str, tuple[str, str]]) -> None:
        super().__init__({name: [exceptions.ErrorDetail(text, code=code)] for name, (code, text) in errors.items()})


class InvalidCursor(exceptions.ValidationError):
    """A cursor that was not issued here, to this caller, for these filters."""

    problem = Code.INVALID_CURSOR
    default_detail = "The cursor is not valid for this caller and these filters: start again without it."


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return the problem of an exception in an API view; None for a defect, which becomes a 500."""
    error = _translated(exc)
    if error is None:
        return None
    set_rollback()
    code = _code(error, context["request"].method)
    errors: list[dict[str, Any]] = []
    if isinstance(error, exceptions.ValidationError) and code != Code.INVALID_CURSOR:
        errors = list(_errors(error.detail))
        detail = f"{len(errors)} value(s) cannot be accepted; `errors` names each."
    else:
        detail = _text(error.detail)
    response = Response(problem(status=error.status_code, code=code, detail=detail, errors=errors))
    response.status_code = error.status_code
    response.content_type = CONTENT_TYPE
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def problem(*, status: int, code: Code, detail: str, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the members of a problem."""
    return {
        "type": TYPES + code.replace("_", "-"),
        "title": "Internal error" if status == 500 else code.replace("_", " ").capitalize(),  # noqa: PLR2004
        "status": status,
        "detail": detail,
        "code": str(code),
        "errors": errors or [],
    }


def _translated(exc: Exception) -> exceptions.APIException | None:  # noqa: PLR0911 - one for each kind
    match exc:
        case exceptions.APIException():
            return exc
        case RequestDataTooBig():
            return PayloadTooLarge()
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case SuspiciousOperation():
            return exceptions.ParseError()
        case OperationalError() | InterfaceError():
            log.warning("api.database_unavailable", error=type(exc).__name__)
            return Unavailable()
        case _:
            return None


def _code(error: exceptions.APIException, method: str | None) -> Code:
    if isinstance(error, InvalidCursor):
        return error.problem
    if error.status_code in CODES:
        return CODES[error.status_code]
    return Code.INVALID_FILTER if method in {"GET", "HEAD", "OPTIONS"} else Code.INVALID_BODY


def _errors(detail: Any, pointer: str = "") -> Iterator[dict[str, Any]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            step = "" if name == "non_field_errors" else "/" + str(name).replace("~", "~0").replace("/", "~1")
            yield from _errors(inner, pointer + step)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _errors(inner, f"{pointer}/{index}" if isinstance(inner, dict) else pointer)
    else:
        yield {"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}


def _text(detail: Any) -> str:
    return " ".join(error["detail"] for error in _errors(detail))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem under /api/."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    status = 413 if isinstance(exception, RequestDataTooBig) else 400
    code = CODES.get(status, Code.INVALID_BODY)
    return _answer(status, code, "The request cannot be understood.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403: a problem under /api/."""
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return _answer(403, Code.PERMISSION_DENIED, "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: a problem under /api/."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return _answer(404, Code.NOT_FOUND, "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem under /api/, without a word about the defect."""
    if not _is_api(request):
        return defaults.server_error(request)
    return _answer(500, Code.UNAVAILABLE, "The service failed to answer; the failure was logged.")


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _answer(status: int, code: Code, detail: str) -> HttpResponse:
    return JsonResponse(problem(status=status, code=code, detail=detail), status=status, content_type=CONTENT_TYPE)
