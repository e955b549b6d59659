"""Who calls: an API key in the Authorization header, or the session of a browser."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from auditlog import api_keys
from auditlog.access import tokens
from auditlog.access.key_sets import IssuerUnavailable
from auditlog.access.scopes import Scope
from auditlog.api.problems import Unavailable
from auditlog.models import ApiKey

SCHEME, BEARER = "Api-Key", "Bearer"


class NoKeys(Unavailable):
    """Nobody can say whether a token is good: its issuer does not answer, and none of its keys is at hand."""

    default_detail = "The issuer of tokens does not answer at the moment: try again later."


class ApiKeyCredential:
    """What `request.auth` holds; `auditlog.request` attributes writes to a key by its `is_api_key`."""

    is_api_key = True

    def __init__(self, key: ApiKey) -> None:
        self.prefix = key.prefix
        self.key_id = key.pk
        self.scopes = frozenset(map(Scope, key.scopes))


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """
    `Authorization: Api-Key <key>`. A scheme that nobody here knows is refused: a caller who meant to log in must learn
    of it.
    """

    def authenticate(self, request: Request) -> tuple[Any, ApiKeyCredential] | None:
        """Return the key's user; None without an Authorization header."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, key = header.partition(" ")
        if scheme.lower() == BEARER.lower() and tokens.configured() is not None:
            return None
        if scheme.lower() != SCHEME.lower():
            raise exceptions.AuthenticationFailed(f"Use the header `Authorization: {SCHEME} <key>`.")
        row = api_keys.verify(key.strip(), now=timezone.now())
        if row is None:
            raise exceptions.AuthenticationFailed("The API key is malformed, unknown, revoked or expired.")
        return row.user, ApiKeyCredential(row)

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        """Return the challenge of a 401."""
        return SCHEME if tokens.configured() is None else f"{SCHEME}, {BEARER}"


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <token>`, of the issuer that is configured."""

    def authenticate(self, request: Request) -> tuple[tokens.TokenHolder, tokens.TokenCredential] | None:
        """Return the token's holder; None without such a header, and where no issuer is configured."""
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        issuer = tokens.configured()
        if scheme.lower() != BEARER.lower() or issuer is None:
            return None
        try:
            return tokens.verified(token.strip(), issuer)
        except tokens.TokenRefused as exc:
            raise exceptions.AuthenticationFailed(
                "The token is malformed, expired, not for this service, or not by its issuer."
            ) from exc
        except IssuerUnavailable as exc:
            raise NoKeys from exc

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        """Return the challenge of a 401."""
        return BEARER


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


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes bearer tokens in the OpenAPI document."""

    target_class = "auditlog.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        """Return the OpenAPI security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of the OpenID Connect issuer, where one is configured.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the session in the OpenAPI document."""

    target_class = "auditlog.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:  # noqa: ARG002
        """Return the OpenAPI security scheme."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
