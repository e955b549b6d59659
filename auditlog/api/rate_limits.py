"""The rate limits of the audit API: tokens of a principal, and of an address from which nobody is known."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework import exceptions

from auditlog.rates import Allowance, limiter

DEFAULT_SECONDS = 60
DEFAULT_TOKENS = 6_000
DEFAULT_ANONYMOUS_TOKENS = 60
# Of an IPv6 address, what a provider gives to one subscriber.
SUBSCRIBER_BITS = 64


def use_of_principal(principal: str, *, cost: int) -> Allowance | None:
    """Use up tokens of a principal; None where nothing is limited or can be counted."""
    limit = int(getattr(settings, "AUDITLOG_RATE_LIMIT_TOKENS", DEFAULT_TOKENS))
    return limiter.use(f"principal:{principal}", cost=cost, limit=limit, seconds=_seconds())


def use_of_address(address: str) -> Allowance | None:
    """Use up a token of an address, of all its neighbours too where it is IPv6; good credentials cost it none."""
    limit = int(getattr(settings, "AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS", DEFAULT_ANONYMOUS_TOKENS))
    return limiter.use(f"address:{_subscriber(address)}", cost=1, limit=limit, seconds=_seconds())


def check(allowance: Allowance | None) -> None:
    """
    Refuse a call that is one too many.

    :raises Throttled: with the seconds to wait.
    """
    if allowance is not None and allowance.is_exceeded:
        raise exceptions.Throttled(allowance.reset_seconds)


def show(allowance: Allowance | None, response: HttpResponseBase) -> None:
    """Say in an answer what is left, by the headers of the IETF's draft (httpapi-ratelimit-headers)."""
    if allowance is not None:
        response["RateLimit-Limit"] = str(allowance.limit)
        response["RateLimit-Remaining"] = str(allowance.remaining)
        response["RateLimit-Reset"] = str(allowance.reset_seconds)


def _subscriber(address: str) -> str:
    try:
        network = ipaddress.ip_network(f"{address}/{SUBSCRIBER_BITS}", strict=False)
    except ValueError:
        return address
    return str(network) if network.version == 6 else address  # noqa: PLR2004 - the version of IP


def _seconds() -> int:
    return int(getattr(settings, "AUDITLOG_RATE_LIMIT_SECONDS", DEFAULT_SECONDS))
