"""What an HTTP request says about the writes that happen in it."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from auditlog import tracing
from auditlog.actors import Actor
from auditlog.text import clean
from auditlog.vocabulary import ActorType

REQUEST_ID = re.compile(r"[!-~]{1,128}")
USER_AGENT_CHARACTERS = 512
PATH_CHARACTERS = 2_048
# Where a request carries what was found out about it; no header gets there.
REQUEST_ID_KEY = "auditlog.request_id"
LOG_FIELDS_KEY = "auditlog.log_fields"
TRACEPARENT_KEY = "auditlog.traceparent"


class RequestFacts:
    """The facts of one request; the user and the session are looked up at the moment of each write."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._resolving = False
        self.request_id = request_id_of(request)
        self.traceparent = traceparent_of(request)
        self.log_fields = log_fields(request)
        self._fixed = {
            "remote_addr": remote_addr(request),
            "user_agent": clean(header_text(request.headers.get("User-Agent", "")), limit=USER_AGENT_CHARACTERS)
            or None,
            "request_id": self.request_id,
            "traceparent": self.traceparent,
            "method": clean(request.method or "", limit=16),
            "path": clean(request.path, limit=PATH_CHARACTERS),
        }

    def actor(self) -> Actor | None:
        """
        Return the user as the request has it now: REST framework's authentication sets it in mid-request.

        Looking it up may write (a session, a last login); such a write has no actor yet.
        """
        if self._resolving:
            return None
        self._resolving = True
        try:
            user = getattr(self._request, "user", None)
            is_key = getattr(getattr(self._request, "auth", None), "is_api_key", False)
            return Actor.of(user, kind=ActorType.API_KEY if is_key else None)
        finally:
            self._resolving = False

    def session(self) -> str | None:
        """Return a digest of the session key: it groups what one session did and cannot be used to take it over."""
        key = getattr(getattr(self._request, "session", None), "session_key", None)
        return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}" if key else None

    def context(self) -> dict[str, Any]:
        """Return `audit.context`."""
        return {**self._fixed, "session": self.session()}


def request_id_of(request: HttpRequest) -> str:
    """Return the id of a request: the caller's where it is one, else one made at the first call."""
    if REQUEST_ID_KEY not in request.META:
        given = request.headers.get(str(getattr(settings, "AUDITLOG_CID_HEADER", "X-Request-ID")), "")
        request.META[REQUEST_ID_KEY] = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    return str(request.META[REQUEST_ID_KEY])


def traceparent_of(request: HttpRequest) -> str | None:
    """Return the trace context that the events of a request carry: that of its span, else the caller's."""
    return request.META.get(TRACEPARENT_KEY) or tracing.valid(request.headers.get("traceparent", ""))


def log_fields(request: HttpRequest) -> dict[str, str]:
    """Return what tells the log lines of a request from all others, and leave it with the request."""
    fields: dict[str, str] | None = request.META.get(LOG_FIELDS_KEY)
    if fields is None:
        trace_id = tracing.trace_id(traceparent_of(request))
        fields = {"request_id": request_id_of(request)} | ({"trace_id": trace_id} if trace_id else {})
        request.META[LOG_FIELDS_KEY] = fields
    return fields


def remote_addr(request: HttpRequest) -> str | None:
    """
    Return the client's address: the peer's, or what the outermost trusted proxy saw.

    With AUDITLOG_TRUSTED_PROXIES = n, the n-th entry of X-Forwarded-For from the right; entries further left are the
    client's own claim.
    """
    hops = int(getattr(settings, "AUDITLOG_TRUSTED_PROXIES", 0))
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    candidate = forwarded[-hops] if 0 < hops <= len(forwarded) else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ipaddress.ip_address(candidate))
    except ValueError:
        return None


def header_text(header: str) -> str:
    """Return a header as the text that its sender meant: servers hand over bytes as Latin-1 (PEP 3333)."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
