"""Which topics can be published to: one that is missing or denied rests, longer each time, and holds up no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from publishers import metrics
from publishers.backoff import Backoff
from publishers.metrics import TopicTrouble

log = structlog.get_logger(__name__)

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0


@dataclass(slots=True)
class Episode:
    """A topic that does not work."""

    trouble: TopicTrouble
    backoff: Backoff
    until: float = 0.0


class Topics:
    """What is known of the topics. Not to be fetched: `stopped()`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: set[str] = set()
        self._episodes: dict[str, Episode] = {}

    def stopped(self) -> frozenset[str]:
        """Return the topics that rest now; one whose rest is over is tried again."""
        now = self._clock()
        return frozenset(name for name, episode in self._episodes.items() if now < episode.until)

    def unknown(self, names: Iterable[str]) -> set[str]:
        """Return those of which nobody has seen yet that they exist."""
        return set(names) - self._known

    def found(self, asked: Iterable[str], existing: Iterable[str]) -> None:
        """Note which of the topics asked for exist; the others stop."""
        found = set(asked).intersection(existing)
        self._known |= found
        for name in sorted(set(asked) - found):
            self.stop(name, trouble=TopicTrouble.MISSING)

    def doubt(self) -> None:
        """Have everything looked up again: a producer failed, and a topic that vanished may be the reason."""
        self._known.clear()

    def stop(self, name: str, *, trouble: TopicTrouble, reason: str = "") -> None:
        """Let a topic rest, longer than last time; said once for each episode."""
        self._known.discard(name)
        episode = self._episodes.get(name)
        if episode is None:
            episode = self._episodes[name] = Episode(trouble, Backoff(FIRST_SECONDS, LONGEST_SECONDS))
            metrics.TOPIC_STOPPED.labels(name, trouble).set(1)
            log.error("relay.topic_stopped", topic=name, trouble=trouble, reason=reason)
        episode.until = self._clock() + episode.backoff.failed()

    def worked(self, names: Iterable[str]) -> None:
        """Note that events of these topics were published: their episodes are over."""
        for name in self._episodes.keys() & set(names):
            trouble = self._episodes.pop(name).trouble
            # Set first: where several workers have their metrics in files, nothing is removed from them.
            metrics.TOPIC_STOPPED.labels(name, trouble).set(0)
            metrics.TOPIC_STOPPED.remove(name, trouble)
            log.info("relay.topic_resumed", topic=name)
