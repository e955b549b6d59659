"""Counters of the audit domain. Names are an interface: dashboards and alerts use them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter


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
