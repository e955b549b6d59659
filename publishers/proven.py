"""Which partitions have something of the present producer: only there may a key have several events under way."""

from __future__ import annotations

from collections.abc import Mapping

# So many keys are remembered that lead to such partitions.
PROVEN_KEYS = 20_000


class Proven:
    """
    Where a refused record cannot be overtaken by what was sent after it: in partitions that have some of this producer.

    There, a broker refuses what follows a gap in the sequence. Of a producer that is new to a partition it takes any
    sequence number, and what is on its way when a request is refused is stored. So until a partition has something, one
    event of each key is under way at a time.
    """

    def __init__(self) -> None:
        self._partitions: dict[str, int] = {}
        self._proven: dict[str, set[int]] = {}
        self._topics: set[str] = set()
        self._keys: set[tuple[str, str]] = set()

    def found(self, partitions: Mapping[str, int]) -> None:
        """Note how many partitions topics have."""
        self._partitions.update(partitions)

    def reached(self, topic: str, key: str, partition: int) -> None:
        """Note that a partition has an event of this producer, and which key leads to it."""
        if topic in self._topics:
            return
        proven = self._proven.setdefault(topic, set())
        proven.add(partition)
        if len(proven) == self._partitions.get(topic):
            self._topics.add(topic)
            return
        if len(self._keys) >= PROVEN_KEYS:
            self._keys.clear()
        self._keys.add((topic, key))

    def is_whole(self, topic: str) -> bool:
        """Return whether every partition of a topic has something, so that nothing is left to note."""
        return topic in self._topics

    def holds(self, topic: str, key: str) -> bool:
        """Return whether several events of a key may be under way."""
        return topic in self._topics or (topic, key) in self._keys

    def forget(self) -> None:
        """Begin anew, with a new producer."""
        self._proven.clear()
        self._topics.clear()
        self._keys.clear()
