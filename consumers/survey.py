"""Looks now and then at what others may have changed: in the read model, and on the topics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from consumers import metrics
from consumers.faults import Unavailable
from consumers.projector import Projector
from consumers.reasons import DeadLetterReason
from consumers.records import Partition, Positions

log = structlog.get_logger(__name__)

SECONDS = 5.0


class Followed(Protocol):
    """What is read; see `consumers.kafka.Source`."""

    @property
    def followed(self) -> frozenset[Partition]:
        """The partitions whose offsets matter."""

    def follow(self, stored: Positions) -> None:
        """Read on from where the database stands."""

    def lag(self) -> Mapping[str, int]:
        """Return how many records there are beyond what is stored, by topic."""


@dataclass(slots=True)
class Survey:
    """Keeps up with what operators decide. A database that is away is asked again in time."""

    source: Followed
    projector: Projector
    clock: Callable[[], float] = time.monotonic
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self._due = self.clock() + SECONDS

    def look(self) -> None:
        """Look, unless that was done lately."""
        if self.clock() < self._due:
            return
        self._due = self.clock() + SECONDS
        metrics.LAG_EVENTS.clear()
        for topic, records in self.source.lag().items():
            metrics.LAG_EVENTS.labels(topic).set(records)
        try:
            count = self.projector.open_dead_letters()
            metrics.PARTITION_HORIZON_DAYS.set(self.projector.partition_horizon_days())
            self.source.follow(self.projector.positions(self.source.followed))
        except Unavailable as exc:
            log.warning("consumer.database_unavailable", reason=str(exc), next_attempt_seconds=SECONDS)
            return
        for reason in DeadLetterReason:
            metrics.OPEN_DEAD_LETTERS.labels(reason.value).set(count.get(reason.value, 0))
