"""Bearer tokens of an OpenID Connect issuer: verified against its keys, and turned into what their holder may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from jwt.exceptions import PyJWTError

from auditlog.access.key_sets import KeySet
from auditlog.access.reach import Reach
from auditlog.access.rights import PRINCIPAL_CHARACTERS, Rights
from auditlog.access.scopes import Scope
from auditlog.text import clean

# Longer ones are refused before anything is parsed.
LARGEST_TOKEN_CHARACTERS = 8_192
LONGEST_KEY_NAME = 200
LONGEST_SUBJECT = 255
# Of header `typ`: what is no access token, a logout token say, is signed by the same keys.
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
REQUIRED = ("iss", "aud", "exp", "iat")
# The value of the claim of labels that leaves out no row.
EVERYWHERE = "*"


class TokenRefused(Exception):
    """The token is malformed, expired, not for this service, or not by its issuer."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are accepted, and which claims say what; see the settings of the same names."""

    issuer: str
    audience: str
    jwks_url: str
    algorithms: tuple[str, ...]
    subject_claim: str
    name_claim: str
    scopes_claim: str
    labels_claim: str
    leeway_seconds: int
    timeout_seconds: int
    pause_seconds: int
    lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """Who holds a token, as `request.user`: a user without an account, and so without permissions."""

    pk: str
    name: str
    is_active = is_authenticated = True
    is_anonymous = is_staff = is_superuser = False

    def get_username(self) -> str:
        """Return what the issuer calls them."""
        return self.name

    def has_perm(self, _permission: str, _object: Any = None) -> bool:
        """No: what they may do is in their token."""
        return False

    def has_perms(self, _permissions: Any, _object: Any = None) -> bool:
        """No."""
        return False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class TokenCredential:
    """`request.auth`: what the token says that its holder may do."""

    rights: Rights


def configured() -> Issuer | None:
    """Return the issuer whose tokens are accepted; None where there is none."""
    given: Mapping[str, Any] | None = getattr(settings, "AUDITLOG_OIDC", None)
    return Issuer(**{**given, "algorithms": tuple(given["algorithms"])}) if given else None


@lru_cache(maxsize=4)
def keys_of_issuer(issuer: Issuer) -> KeySet:
    """Return the keys of an issuer, the same for all requests of this process."""
    return KeySet(
        url=issuer.jwks_url,
        algorithms=issuer.algorithms,
        timeout_seconds=issuer.timeout_seconds,
        pause_seconds=issuer.pause_seconds,
        lifetime_seconds=issuer.lifetime_seconds,
    )


def verified(token: str, issuer: Issuer) -> tuple[TokenHolder, TokenCredential]:
    """
    Return who holds a token and what they may do.

    :raises TokenRefused: if the token is not good.
    :raises IssuerUnavailable: if that cannot be said, because no key of the issuer is at hand.
    """
    claims = _claims(token, issuer)
    subject = claims.get(issuer.subject_claim)
    if not isinstance(subject, str) or not 1 <= len(subject) <= LONGEST_SUBJECT:
        raise TokenRefused
    # A subject is one at its issuer only, and never the key of a user of ours.
    identity = f"{issuer.issuer}#{_storable(subject)}"
    principal = f"oidc:{identity}"
    if len(principal) > PRINCIPAL_CHARACTERS:
        raise TokenRefused
    name = claims.get(issuer.name_claim)
    reach = _reach(claims, issuer)
    rights = Rights(principal, reach.scopes, identity, reach.models, reach.labels)
    return TokenHolder(identity, name if isinstance(name, str) and name else subject), TokenCredential(rights)


def _claims(token: str, issuer: Issuer) -> dict[str, Any]:
    if len(token) > LARGEST_TOKEN_CHARACTERS or not token.isascii():
        raise TokenRefused
    try:
        header = jwt.get_unverified_header(token)
        name, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in issuer.algorithms or str(header.get("typ", "JWT")).lower() not in TYPES:
            raise TokenRefused
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_KEY_NAME:
            raise TokenRefused
        key = keys_of_issuer(issuer).find(name, algorithm)
        if key is None:
            raise TokenRefused
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=issuer.leeway_seconds,
            options={"require": [*REQUIRED, issuer.subject_claim]},
        )
    except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise TokenRefused from exc
    return claims


def _reach(claims: Mapping[str, Any], issuer: Issuer) -> Reach:
    known = set(Scope)
    scopes = frozenset(Scope(word) for word in _words(claims.get(issuer.scopes_claim)) if word in known)
    if not issuer.labels_claim:
        return Reach(scopes)
    labels = _words(claims.get(issuer.labels_claim))
    if labels == [EVERYWHERE]:
        return Reach(scopes)
    # Whoever narrows by a claim wants nobody to see everything because it is missing.
    return Reach.of(scopes=scopes if labels else (), models=(), labels=labels)


def _words(claim: Any) -> list[str]:
    """Return a claim that is a list of text, or text separated by blanks."""
    if isinstance(claim, str):
        return _storable(claim).split()
    return [_storable(word) for word in claim if isinstance(word, str)] if isinstance(claim, list) else []


def _storable(text: str) -> str:
    """Return a text; refuse the token where no database could hold it: NUL, or half of a letter."""
    if clean(text) != text:
        raise TokenRefused
    return text
