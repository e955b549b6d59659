"""From exceptions to problems: in the API's views, and in Django's own error pages under /api/."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.views import csrf, defaults
from rest_framework import exceptions
from rest_framework.views import set_rollback

from auditlog.api import problems
from auditlog.api.problems import CODES, SAFE_METHODS, Code, PayloadTooLarge, Unavailable, answer, problem
from auditlog.queries.limits import took_too_long

API_PREFIX = "/api/"
log = structlog.get_logger(__name__)


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return the problem of an exception in an API view; None for a defect, which becomes a 500."""
    error = _translated(exc)
    if error is None:
        return None
    set_rollback()
    response = answer(error, request=context["request"]._request)
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait))
    return response


def is_api(request: HttpRequest) -> bool:
    """Tell whether a program waits for the answer."""
    return request.path_info.startswith(API_PREFIX)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400."""
    if not is_api(request):
        return defaults.bad_request(request, exception)
    otherwise = Code.INVALID_FILTER if request.method in SAFE_METHODS else Code.INVALID_BODY
    status = 413 if isinstance(exception, RequestDataTooBig) else 400
    return problem(
        request, status=status, code=CODES.get(status, otherwise), detail="The request cannot be understood."
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    if not is_api(request):
        return defaults.permission_denied(request, exception)
    return problem(request, status=403, code=Code.PERMISSION_DENIED, detail="You may not do this.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW."""
    if not is_api(request):
        return csrf.csrf_failure(request, reason)
    return problem(request, status=403, code=Code.PERMISSION_DENIED, detail=f"CSRF failed: {reason}")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    if not is_api(request):
        return defaults.page_not_found(request, exception)
    return problem(request, status=404, code=Code.NOT_FOUND, detail="There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: not a word about the defect; a database that is away is none."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        unavailable = Unavailable()
        if is_api(request):
            return answer(unavailable, request=request)
        return HttpResponse(str(unavailable.detail), status=unavailable.status_code, content_type="text/plain")
    if not is_api(request):
        return defaults.server_error(request)
    return problem(
        request, status=500, code=Code.UNAVAILABLE, detail="The service failed to answer; the failure was logged."
    )


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
        case SuspiciousOperation() | BadRequest() | MultiPartParserError() | UnreadablePostError():
            return exceptions.ParseError("The request cannot be understood.")
        case OperationalError() if took_too_long(exc):
            return problems.TooExpensive()
        case OperationalError() | InterfaceError():
            log.warning("api.database_unavailable", error=type(exc).__name__)
            return Unavailable()
        case _:
            return None
