"""How long to wait before a process that died is started again."""

from __future__ import annotations

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
# Who lived this long was well: what happens next is a new trouble.
WELL_AFTER_SECONDS = 60.0


class Backoff:
    """Doubles the wait with each early death; forgets them after a long life."""

    def __init__(self) -> None:
        self.deaths = 0

    def after(self, *, lived_seconds: float) -> float:
        """Return the seconds to wait after a death."""
        if lived_seconds >= WELL_AFTER_SECONDS:
            self.deaths = 0
        wait = min(FIRST_WAIT_SECONDS * 2.0**self.deaths, LONGEST_WAIT_SECONDS)
        self.deaths += 1
        return wait
