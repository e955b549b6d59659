"""
Calls of the audit API that got no further than the door: without good credentials, or too many.

They cost a caller nothing, so that an event for each would let anybody fill the outbox. They are counted in the memory
of the process and told together: the first at once, those that follow at most once in TOLD_EVERY_SECONDS, with the next
of them or the next recorded call. The log has a line for each.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from auditlog import metrics
from auditlog.context import set_system
from auditlog.reads import Unrecorded, put
from auditlog.vocabulary import Action, Category

TOLD_EVERY_SECONDS = 60
# Callers that an event names; all others are counted together.
NAMED_CALLERS = 20
SYSTEM = "auditlog"
OPERATION = "turned-away"
OTHERS = "others"


class TurnedAway:
    """What one process has turned away and not told yet."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told_at: float | None = None
        self._since: datetime | None = None
        # (status, caller) -> calls
        self._calls: Counter[tuple[int, str]] = Counter()

    def count(self, *, status: int, caller: str) -> None:
        """Count a call, and tell if it is time; `caller` is a principal, or an address where nobody is known."""
        metrics.TURNED_AWAY.labels(status).inc()
        with self._lock:
            self._add(status, caller, 1)
            self._since = self._since or datetime.now(UTC)
        self.tell()

    def tell(self) -> None:
        """Record what was counted, unless something was recorded a moment ago. Costs nothing where there is nothing."""
        taken = self._take()
        if taken is None:
            return
        calls, since = taken
        data = {
            "operation": OPERATION,
            "since": since.isoformat(),
            "until": datetime.now(UTC).isoformat(),
            "calls": sum(calls.values()),
            "callers": [
                {"status": status, "caller": caller, "calls": number} for (status, caller), number in calls.items()
            ],
        }
        try:
            with set_system(SYSTEM):
                put(
                    action=Action.AUDIT_LOG_REFUSED,
                    category=Category.SECURITY,
                    data=data,
                    reason="",
                    operation=OPERATION,
                )
        except Unrecorded:
            # It was logged, and nobody was shown anything: kept for the next time.
            self._give_back(calls, since)

    def _take(self) -> tuple[Counter[tuple[int, str]], datetime] | None:
        with self._lock:
            now = self._clock()
            if self._since is None or (self._told_at is not None and now - self._told_at < TOLD_EVERY_SECONDS):
                return None
            taken = self._calls, self._since
            self._calls, self._since, self._told_at = Counter(), None, now
            return taken

    def _give_back(self, calls: Counter[tuple[int, str]], since: datetime) -> None:
        with self._lock:
            for (status, caller), number in calls.items():
                self._add(status, caller, number)
            self._since = since

    def _add(self, status: int, caller: str, number: int) -> None:
        is_named = (status, caller) in self._calls or len(self._calls) < NAMED_CALLERS
        self._calls[status, caller if is_named else OTHERS] += number


turned_away = TurnedAway()
