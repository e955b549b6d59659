"""
W3C trace contexts, and OpenTelemetry's spans where AUDITLOG_TRACING asks for them.

Without it nothing of OpenTelemetry is imported: contexts are passed on as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from auditlog.spans import Tracer

# W3C Trace Context, section 3.2: version 00, neither id all zeros.
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
TRACE_ID = slice(3, 35)
FLAGS = slice(53, 55)
SAMPLED = 1
# A line about a batch names so many traces at most.
NAMED = 20


class Service(StrEnum):
    """Who makes spans: `service.name` where the environment names none."""

    API = "auditlog-api"
    RELAY = "auditlog-relay"
    CONSUMER = "auditlog-consumer"


def tracer(service: Service) -> Tracer | None:
    """Return what makes spans; None where tracing is off."""
    if not getattr(settings, "AUDITLOG_TRACING", False):
        return None
    from auditlog.spans import Tracer

    return Tracer.of(service)


def valid(given: str) -> str | None:
    """Return what somebody sent as `traceparent` if it is one."""
    return given if TRACEPARENT.fullmatch(given) else None


def trace_id(traceparent: str | None) -> str | None:
    """Return the id of the trace that a valid context belongs to."""
    return traceparent[TRACE_ID] if traceparent else None


def trace_ids(traceparents: Iterable[str | None]) -> dict[str, list[str]]:
    """Return the field of a log line about several events that names their traces; none where there are none."""
    found = dict.fromkeys(traceparent[TRACE_ID] for traceparent in traceparents if traceparent)
    return {"trace_ids": list(found)[:NAMED]} if found else {}


def is_sampled(traceparent: str | None) -> bool:
    """Tell whether whoever began the trace records it."""
    return traceparent is not None and bool(int(traceparent[FLAGS], 16) & SAMPLED)
