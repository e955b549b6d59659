"""Every error as RFC 9457 `application/problem+json`, with codes of one closed vocabulary and no value of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from django.http import HttpRequest, JsonResponse
from rest_framework import exceptions

from auditlog.middleware import REQUEST_ID_HEADER
from auditlog.request import request_id_of

CONTENT_TYPE = "application/problem+json"
# An identifier, not an address to be fetched.
TYPES = "https://auditlog.invalid/problems/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Code(StrEnum):
    """`code` of a problem."""

    INVALID_FILTER = "invalid_filter"
    INVALID_CURSOR = "invalid_cursor"
    INVALID_BODY = "invalid_body"
    NOT_AUTHENTICATED = "not_authenticated"
    PERMISSION_DENIED = "permission_denied"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    GONE = "gone"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    THROTTLED = "throttled"
    CONFLICT = "conflict"
    POSITION_AHEAD = "position_ahead"
    UNAVAILABLE = "unavailable"
    CONTENT_PENDING = "content_pending"
    TOO_EXPENSIVE = "too_expensive"
    REASON_REQUIRED = "reason_required"


# Those that follow from the status alone; 400 is told apart by what was wrong.
CODES = {
    401: Code.NOT_AUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    406: Code.UNSUPPORTED_MEDIA_TYPE,
    409: Code.CONFLICT,
    410: Code.GONE,
    411: Code.INVALID_BODY,
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


class ContentPending(exceptions.APIException):
    """The content of a large value is on its way, apart from its event."""

    status_code = 503
    default_detail = "The content of this value has not arrived completely: try again later."
    wait = 5


class Gone(exceptions.APIException):
    """An object had been deleted at the instant that was asked about; `members` say by which event."""

    status_code = 410
    default_detail = "The object had been deleted: `event` did it. Ask about an earlier instant."

    def __init__(self, members: dict[str, Any]) -> None:
        super().__init__()
        self.members = members


class NotRecorded(Unavailable):
    """The event of a call of the audit log cannot be put into the outbox."""

    default_detail = "The call cannot be recorded, and what is not recorded is not answered: try again later."


class ReasonRequired(exceptions.PermissionDenied):
    """AUDITLOG_DEMAND_REASON, and no reason was given."""

    default_detail = "Say why you ask, in the header X-Audit-Reason: you would see values of restricted classes."


class TooExpensive(exceptions.APIException):
    """A question that the database may not work on any longer."""

    status_code = 400
    default_detail = "The question takes too long to answer: choose a shorter window or a narrower filter."


class InvalidFilter(exceptions.ValidationError):
    """Query parameters that cannot be understood: {parameter: (code, detail)}."""

    def __init__(self, errors: dict[str, tuple[str, str]]) -> None:
        super().__init__({name: [exceptions.ErrorDetail(text, code=code)] for name, (code, text) in errors.items()})


class InvalidSearch(exceptions.ValidationError):
    """The body of a search that cannot be understood: {JSON pointer: (code, detail)}."""

    def __init__(self, errors: dict[str, tuple[str, str]]) -> None:
        super().__init__({pointer: exceptions.ErrorDetail(text, code=code) for pointer, (code, text) in errors.items()})
        self.pointed = [{"pointer": at, "code": code, "detail": text} for at, (code, text) in sorted(errors.items())]


class InvalidCursor(exceptions.ValidationError):
    """A cursor that was not issued here, to this caller, for these filters."""

    default_detail = "The cursor is not valid for this caller and these filters: start again without it."


class PositionAhead(exceptions.APIException):
    """A place in the feed behind what is stored."""

    status_code = 409
    default_detail = (
        "Less is stored than this position has seen: begin with after=beginning, and leave out what you have."
    )


OWN_CODES: dict[type[exceptions.APIException], Code] = {
    InvalidCursor: Code.INVALID_CURSOR,
    InvalidSearch: Code.INVALID_FILTER,
    TooExpensive: Code.TOO_EXPENSIVE,
    ContentPending: Code.CONTENT_PENDING,
    ReasonRequired: Code.REASON_REQUIRED,
    PositionAhead: Code.POSITION_AHEAD,
}


class Problem(JsonResponse):
    """A problem as an answer."""

    def __init__(self, code: Code, members: dict[str, Any]) -> None:
        super().__init__(members, status=members["status"], content_type=CONTENT_TYPE)
        self.code = code
        self[REQUEST_ID_HEADER] = members["request_id"]


def answer(error: exceptions.APIException, *, request: HttpRequest) -> Problem:
    """Return the answer to an error: never rendered as whatever else the view can render, YAML say."""
    code = _code(error, request.method)
    errors: list[dict[str, Any]] = []
    if isinstance(error, exceptions.ValidationError) and code != Code.INVALID_CURSOR:
        errors = error.pointed if isinstance(error, InvalidSearch) else list(_errors(error.detail))
        detail = f"{len(errors)} value(s) cannot be accepted; `errors` names each."
    else:
        detail = _text(error.detail)
    more = error.members if isinstance(error, Gone) else {}
    return problem(request, status=error.status_code, code=code, detail=detail, errors=errors, more=more)


def problem(
    request: HttpRequest,
    *,
    status: int,
    code: Code,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Problem:
    """Return a problem as an answer to a request, whose id it names; `more` are members of this kind of problem."""
    members = {
        "type": TYPES + code.replace("_", "-"),
        "title": "Internal error" if status == 500 else code.replace("_", " ").capitalize(),  # noqa: PLR2004
        "status": status,
        "detail": detail,
        "code": str(code),
        "errors": errors or [],
        "request_id": request_id_of(request),
        **(more or {}),
    }
    return Problem(code, members)


def _code(error: exceptions.APIException, method: str | None) -> Code:
    for kind, code in OWN_CODES.items():
        if isinstance(error, kind):
            return code
    if error.status_code in CODES:
        return CODES[error.status_code]
    return Code.INVALID_FILTER if method in SAFE_METHODS else Code.INVALID_BODY


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
