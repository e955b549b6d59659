"""Who calls: an API key in the Authorization header, or the session of a browser."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from auditlog import api_keys
from auditlog.access.scopes import Scope
from auditlog.models import ApiKey

SCHEME = "Api-Key"


class ApiKeyCredential:
    """What `request.auth` holds; `auditlog.request` attributes writes to a key by its `is_api_key`."""

    is_api_key = True

    def __init__(self, key: ApiKey) -> None:
        self.prefix = key.prefix
        self.key_id = key.pk
        self.scopes = frozenset(map(Scope, key.scopes))


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Api-Key <key>`. Any other scheme is refused: a caller who meant to log in must learn of it."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKeyCredential] | None:
        """Return the key's user; None without an Authorization header."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, key = header.partition(" ")
        if scheme.lower() != SCHEME.lower():
            raise exceptions.AuthenticationFailed(f"Use the header `Authorization: {SCHEME} <key>`.")
        row = api_keys.verify(key.strip(), now=timezone.now())
        if row is None:
            raise exceptions.AuthenticationFailed("The API key is malformed, unknown, revoked or expired.")
        return row.user, ApiKeyCredential(row)

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        """Return the challenge of a 401."""
        return SCHEME


class SessionAuthentication(authentication.SessionAuthentication):
    """Django's session; its CSRF token is demanded of unsafe methods."""


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the API key in the OpenAPI document."""

    target_class = "auditlog.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        """Return the OpenAPI security scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": f"`{SCHEME} <key>`; `manage.py api_key create` makes a key.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the session in the OpenAPI document."""

    target_class = "auditlog.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        """Return the OpenAPI security scheme."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
