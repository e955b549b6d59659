"""Validators of answers that never change, good for the caller who got them."""

from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog import exact_json
from auditlog.access.rights import Rights

NOT_MODIFIED = 304
DIGEST_CHARACTERS = 32


def answer(request: Request, body: Any, *, rights: Rights) -> HttpResponseBase:
    """Return the body with its ETag; to whoever names it in If-None-Match, that it is not modified."""
    etag = of(body, rights=rights)
    response = not_modified(request, etag) or Response(body)
    response["ETag"] = etag
    return response


def not_modified(request: Request | HttpRequest, etag: str) -> HttpResponseBase | None:
    """Return the answer to whoever has this already; other conditions of a request are not looked at."""
    given = parse_etags(request.headers.get("If-None-Match", ""))
    if "*" in given or etag in {tag.removeprefix("W/") for tag in given}:
        return HttpResponse(status=NOT_MODIFIED)
    return None


def of(body: Any, *, rights: Rights) -> str:
    """Return the ETag of a body: another caller has another, even where both see the same."""
    digest = hashlib.sha256(rights.digest.encode() + exact_json.encode(body)).hexdigest()
    return f'"{digest[:DIGEST_CHARACTERS]}"'
