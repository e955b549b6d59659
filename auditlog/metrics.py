"""Counters of the audit domain. Names are an interface: dashboards and alerts use them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram


class UncapturedReason(StrEnum):
    """Why a write of a registered model left no event."""

    NOT_INSTALLED = "not_installed"  # the database lacks the capture functions: migrate
    DISABLED = "disabled"  # inside disable_auditlog()
    BYPASSED = "bypassed"  # the write did not pass the compilers, and has committed
    CAPTURED_LATE = "captured_late"  # the write did not pass the compilers; its receiver recorded it, without an image


UNCAPTURED_WRITES = Counter(
    "auditlog_uncaptured_writes", "Writes of registered models that left no event.", ["model", "reason"]
)
MASK_FAILURES = Counter("auditlog_mask_failures", "Values masked in full because mask_callable raised.", ["model"])
REPR_FAILURES = Counter("auditlog_object_repr_failures", "Objects whose __str__ raised while being framed.", ["model"])
REQUEST_SECONDS = Histogram(
    "auditlog_api_request_seconds",
    "Seconds to answer a request of the API.",
    ["area", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
READS = Counter("auditlog_api_reads", "Calls of the audit log that were recorded, shown or refused.", ["action"])
UNRECORDED_READS = Counter(
    "auditlog_api_unrecorded_reads",
    "Calls of the audit log that could not be recorded, and so were answered by nothing.",
)
TURNED_AWAY = Counter(
    "auditlog_api_turned_away", "Calls of the audit API without good credentials (401), or too many (429).", ["status"]
)
RATE_LIMIT_FAILURES = Counter(
    "auditlog_api_rate_limit_failures", "Calls that were let in uncounted because the cache did not answer."
)
# Of several workers, those that live are added up.
FEED_WAITING = Gauge(
    "auditlog_api_feed_waiting", "Calls of the feed that wait for events.", multiprocess_mode="livesum"
)
FEED_WAITS_REFUSED = Counter(
    "auditlog_api_feed_waits_refused",
    "Calls of the feed that would have waited, and were answered at once because as many as may were waiting.",
)
