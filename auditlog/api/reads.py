"""Makes each call of the audit API an event, before its answer leaves; see `auditlog.reads`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework import exceptions
from rest_framework.request import Request

from auditlog import reads
from auditlog.access.questions import without_hidden_values
from auditlog.access.rights import Rights, rights_of
from auditlog.access.scopes import Scope
from auditlog.api import rate_limits
from auditlog.api.problems import NotRecorded, ReasonRequired, answer
from auditlog.reads import Read, Unrecorded
from auditlog.request import header_text, remote_addr
from auditlog.turned_away import turned_away

if TYPE_CHECKING:
    from auditlog.api.views.base import AuditView

REASON_HEADER = "X-Audit-Reason"
UNAUTHENTICATED = 401
TOO_MANY = 429
SERVER_ERRORS = 500
UNKNOWN = "unknown"


def demand_reason(request: Request, rights: Rights) -> None:
    """
    Refuse a caller who would see values of restricted classes and does not say why, where that is demanded.

    :raises ReasonRequired: without a reason.
    """
    is_demanded = getattr(settings, "AUDITLOG_DEMAND_REASON", False)
    if is_demanded and Scope.READ_SENSITIVE in rights.scopes and not reason_of(request):
        raise ReasonRequired


def reason_of(request: Request) -> str:
    """Return why the caller asks, as they say."""
    return reads.clean_reason(header_text(request.headers.get(REASON_HEADER, "")))


def accounted(view: AuditView, request: Request, response: HttpResponseBase) -> HttpResponseBase:
    """
    Record a call with how it is answered, and return the answer; in its place a 503 if the call cannot be recorded.

    Those who are not known, or ask too often, are counted and told together.
    """
    status = response.status_code
    principal = _principal(request)
    if principal is None or status == TOO_MANY:
        return _turned_away(request, response, principal)
    try:
        reads.record(
            Read(
                operation=_operation(request),
                principal=principal,
                method=request.method or "",
                path=request.path,
                asked=without_hidden_values(view.noted.asked) or None,
                rows=view.noted.rows if status < reads.FIRST_ERROR else None,
                status=status,
                code=getattr(response, "code", None),
                reason=reason_of(request),
            )
        )
    except Unrecorded:
        response.close()
        return answer(NotRecorded(), request=request._request)
    turned_away.tell()
    return response


def _turned_away(request: Request, response: HttpResponseBase, principal: str | None) -> HttpResponseBase:
    """Count a call; whoever has no credentials and calls too often is told so."""
    address = remote_addr(request._request) or UNKNOWN
    if response.status_code == UNAUTHENTICATED:
        allowance = rate_limits.use_of_address(address)
        if allowance is not None and allowance.is_exceeded:
            response = answer(exceptions.Throttled(allowance.reset_seconds), request=request._request)
            response["Retry-After"] = str(allowance.reset_seconds)
        rate_limits.show(allowance, response)
    if response.status_code < SERVER_ERRORS:
        turned_away.count(status=response.status_code, caller=principal or address)
    return response


def _principal(request: Request) -> str | None:
    """Return who calls; None where nobody is known, or the request was refused before anybody asked."""
    # To ask for the user would authenticate, and that may raise.
    user: Any = getattr(request, "_user", None)
    return rights_of(request).principal if user is not None and user.is_authenticated else None


def _operation(request: Request) -> str:
    match = request.resolver_match
    return (match.url_name if match is not None else None) or UNKNOWN
