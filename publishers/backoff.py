"""Waiting longer after each failure, and not at all after a success."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Seconds to wait before the next attempt: doubling, up to a limit."""

    first_seconds: float
    longest_seconds: float
    _next_seconds: float = 0.0

    def failed(self) -> float:
        """Note a failure and return how many seconds to wait."""
        seconds = max(self.first_seconds, self._next_seconds)
        self._next_seconds = min(seconds * 2, self.longest_seconds)
        return seconds

    def succeeded(self) -> None:
        """Begin anew."""
        self._next_seconds = 0.0
