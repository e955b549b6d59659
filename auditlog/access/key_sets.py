"""
The public keys of an issuer, fetched from its JWKS and kept.

A known key costs no network I/O. An unknown one may have been made since: the set is fetched again, at most every few
seconds whatever is asked for, so that made-up names of keys cannot make us hammer the issuer. A set that has become
old is fetched again beside the requests, so that keys which the issuer took back are forgotten; while it does not
answer, the keys at hand go on to count.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import structlog
from jwt import PyJWK
from jwt.exceptions import PyJWTError

LARGEST_SET_BYTES = 262_144
READ_BYTES = 16_384
MOST_KEYS = 100


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that was configured, and from no other."""

    def redirect_request(self, *_args: Any, **_options: Any) -> None:
        """Follow nowhere: the answer is then an error."""


OPENER = urllib.request.build_opener(_NoRedirects)
log = structlog.get_logger(__name__)


class IssuerUnavailable(Exception):
    """The issuer gives no keys at the moment, and none is at hand."""


@dataclass(slots=True)
class KeySet:
    """The keys at one address; safe to be shared by threads."""

    url: str
    algorithms: Sequence[str]
    timeout_seconds: float
    # Between two fetches, however many keys are unknown.
    pause_seconds: float
    # After which a set is fetched again.
    lifetime_seconds: float
    # By name: the key for each algorithm that it fits.
    _keys: Mapping[str, Mapping[str, PyJWK]] = field(default_factory=dict)
    _asked_at: float | None = None
    _fetched_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, name: str, algorithm: str) -> PyJWK | None:
        """
        Return the key of a name for an algorithm, None where the issuer has none.

        :raises IssuerUnavailable: if no key at all is at hand.
        """
        if name not in self._keys:
            self._ask_again(unless_known=name)
        elif self._is_old():
            self._renew_beside()
        if not self._keys:
            raise IssuerUnavailable
        return self._keys.get(name, {}).get(algorithm)

    def _may_ask(self) -> bool:
        return self._asked_at is None or time.monotonic() - self._asked_at >= self.pause_seconds

    def _is_old(self) -> bool:
        return time.monotonic() - self._fetched_at > self.lifetime_seconds and self._may_ask()

    def _ask_again(self, *, unless_known: str) -> None:
        # Whoever waits here finds what the first one fetched.
        with self._lock:
            if unless_known not in self._keys and self._may_ask():
                self._fetch()

    def _renew_beside(self) -> None:
        if self._lock.acquire(blocking=False):
            threading.Thread(target=self._renew, name="auditlog-issuer-keys", daemon=True).start()

    def _renew(self) -> None:
        try:
            if self._is_old():
                self._fetch()
        finally:
            self._lock.release()

    def _fetch(self) -> None:
        self._asked_at = time.monotonic()
        try:
            self._keys = keys_of(_fetched(self.url, timeout_seconds=self.timeout_seconds), self.algorithms)
        except (OSError, HTTPException, ValueError) as exc:
            log.warning("access.issuer_unavailable", error=type(exc).__name__, keys=len(self._keys))
        else:
            self._fetched_at = time.monotonic()


def keys_of(document: Any, algorithms: Sequence[str]) -> dict[str, dict[str, PyJWK]]:
    """
    Return the keys of a JWKS that can verify: those with a name, of a sufficient length, for the algorithms allowed.

    :raises ValueError: if it is no JWKS, or has no such key.
    """
    members = document.get("keys") if isinstance(document, dict) else None
    found: dict[str, dict[str, PyJWK]] = {}
    for member in members[:MOST_KEYS] if isinstance(members, list) else ():
        if isinstance(member, dict) and isinstance(member.get("kid"), str) and member.get("use", "sig") == "sig":
            fitting = {name: key for name in algorithms if (key := _key(member, name)) is not None}
            if fitting:
                found[member["kid"]] = fitting
    if not found:
        raise ValueError("no JWKS with a key that can be used")
    return found


def _key(member: dict[str, Any], algorithm: str) -> PyJWK | None:
    if member.get("alg", algorithm) != algorithm:
        return None
    try:
        key = PyJWK(member, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return None if key.Algorithm.check_key_length(key.key) else key


def _fetched(url: str, *, timeout_seconds: float) -> Any:
    """Return the JSON at an address; `timeout_seconds` bound the whole, and its size is bounded too."""
    end = time.monotonic() + timeout_seconds
    body = b""
    with OPENER.open(url, timeout=timeout_seconds) as answer:
        while part := answer.read1(READ_BYTES):
            body += part
            if len(body) > LARGEST_SET_BYTES or time.monotonic() > end:
                raise ValueError("too large or too slow")
    return json.loads(body)
