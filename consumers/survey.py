"""Looks now and then at what others may have changed in the read model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from consumers import metrics
from consumers.faults import Unavailable
from consumers.projector import Projector
from consumers.reasons import DeadLetterReason

log = structlog.get_logger(__name__)

SECONDS = 5.0


@dataclass(slots=True)
class Survey:
    """Keeps up with what operators decide. A database that is away is asked again in time."""

    projector: Projector
    clock: Callable[[], float] = time.monotonic
    _due: float = field(default=0.0, init=False)

    def look(self) -> None:
        """Look, unless that was just done."""
        if self.clock() < self._due:
            return
        self._due = self.clock() + SECONDS
        try:
            count = self.projector.open_dead_letters()
        except Unavailable as exc:
            log.warning("consumer.database_unavailable", reason=str(exc), next_attempt_seconds=SECONDS)
            return
        for reason in DeadLetterReason:
            metrics.OPEN_DEAD_LETTERS.labels(reason.value).set(count.get(reason.value, 0))
