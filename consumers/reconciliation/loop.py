"""The run loop of the loss proof: a round, a pause, and on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from consumers import metrics
from consumers.faults import DATABASE_ERRORS, described
from consumers.reconciliation.rounds import Rounds

log = structlog.get_logger(__name__)

# How long the loop may say nothing while it waits.
BEAT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProofLoop:
    """Runs rounds until `stop` is set."""

    rounds: Rounds
    every_seconds: float
    stop: threading.Event
    beat: Callable[[], None]

    def run(self) -> None:
        """Prove until `stop` is set; where a database is away, say so and try again."""
        rounds = replace(self.rounds, may_go_on=self._may_go_on)
        log.info("reconcile.started", every_seconds=self.every_seconds)
        while self._may_go_on():
            try:
                rounds.run()
            except DATABASE_ERRORS as exc:
                metrics.ROUND_FAILURES.inc()
                log.warning("reconcile.database_unavailable", reason=described(exc))
                rounds.disconnect()
            self._pause()
        log.info("reconcile.stopped")

    def _may_go_on(self) -> bool:
        self.beat()
        return not self.stop.is_set()

    def _pause(self) -> None:
        left = self.every_seconds
        while left > 0 and self._may_go_on():
            self.stop.wait(min(left, BEAT_SECONDS))
            left -= BEAT_SECONDS
