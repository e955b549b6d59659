"""What the broker's answers mean for the outbox, in terms that know no Kafka client."""

from __future__ import annotations

from dataclasses import dataclass, field

from publishers.metrics import TopicTrouble
from publishers.outbox import SHARD, Row


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker will never take this event: it is parked, and holds later events of its key."""

    reason: str


@dataclass(frozen=True, slots=True)
class TopicFailed:
    """The topic takes nothing now: it rests for a while, and no other does."""

    trouble: TopicTrouble
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether the broker has it: it stays in the outbox and is sent again with the same id."""

    reason: str


Failure = Refused | TopicFailed | Unknown


@dataclass(slots=True)
class Batch:
    """Events on their way to the broker, in the order of their ids for each key."""

    rows: list[Row]
    # Handed to the client and not reported yet.
    waiting: int = 0
    published: list[Row] = field(default_factory=list)
    failures: list[tuple[Row, Failure]] = field(default_factory=list)
    # Those that have events in this batch.
    shards: frozenset[int] = field(init=False)
    _seen_waiting: int = -1
    _seen_at: float = 0.0

    def __post_init__(self) -> None:
        """Find the shards once: they are asked for all the time."""
        self.shards = frozenset(map(SHARD, self.rows))

    @property
    def is_published(self) -> bool:
        """Whether the broker has all of it."""
        return len(self.published) == len(self.rows)

    def quiet_seconds(self, now: float) -> float:
        """Return since when no report came, as far as earlier calls could see."""
        if self.waiting != self._seen_waiting:
            self._seen_waiting, self._seen_at = self.waiting, now
        return now - self._seen_at

    def unreported(self) -> list[Row]:
        """Return what nothing is known of."""
        known = {row.id for row in self.published} | {row.id for row, _ in self.failures}
        return [row for row in self.rows if row.id not in known]
