"""How long a relay that finds nothing waits for a hint before it looks at the outbox again."""

from __future__ import annotations

import time

# After something was published: what follows soon waits for no hint, where things follow one another so soon.
SHORT_PAUSE_SECONDS = 0.004
SOON_SECONDS = 0.02
# Where they do not, there is time for the hint.
LONG_PAUSE_SECONDS = 0.03


class Pauses:
    """Doubling from one look to the next, up to a limit; short again after something was published."""

    def __init__(self, *, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self.seconds = LONG_PAUSE_SECONDS
        self._published_at = 0.0

    def take(self) -> float:
        """Return how many seconds to wait now."""
        seconds, self.seconds = self.seconds, min(self.seconds * 2, self._longest_seconds)
        return seconds

    def published(self) -> None:
        """Begin anew; the next look waits for a hint as long as things are apart."""
        now = time.monotonic()
        pause = SHORT_PAUSE_SECONDS if now - self._published_at < SOON_SECONDS else LONG_PAUSE_SECONDS
        self.seconds, self._published_at = min(pause, self._longest_seconds), now
