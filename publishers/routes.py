"""
Where the events of a topic go: to the topic itself, or to the one that it was moved to.

The outbox names topics as registrations do; only what is sent is sent elsewhere. So a move concerns no writer: while
every relay holds the topic's events back and has none of them under way, the route is changed for all at once. Each
change of a route has a higher version, and a relay enters the one that it follows beside its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import psycopg

# All routes: as many as topics were ever moved, no index.
READ = """
SELECT topic, target, coalesce(draining_until > clock_timestamp(), false), version FROM publishers_topicroute
"""
# Enter that this relay follows a version and has nothing under way that does not. Index: primary key.
CONFIRM = "UPDATE publishers_relaymember SET followed = %(version)s WHERE owner = %(owner)s AND followed <> %(version)s"


class Routes:
    """The routes as one relay follows them; read after its name is entered, so that no move overlooks it."""

    def __init__(self) -> None:
        self.targets: Mapping[str, str] = {}
        # Topics whose events are held back.
        self.draining: frozenset[str] = frozenset()
        self._version = 0
        self._is_confirmed = False

    def read(self, connection: psycopg.Connection[Any]) -> bool:
        """Learn of changes; returns whether events go elsewhere now."""
        rows = connection.execute(READ).fetchall()
        before, self.targets = self.targets, {topic: target for topic, target, _, _ in rows}
        self.draining = frozenset(topic for topic, _, is_draining, _ in rows if is_draining)
        self._version = max((version for *_, version in rows), default=0)
        self._is_confirmed = False
        return self.targets != before

    def confirm(
        self, connection: psycopg.Connection[Any], *, owner: str, in_flight: Callable[[], Collection[str]]
    ) -> None:
        """Say that this relay follows, as soon as nothing of a topic that is held back is under way."""
        if not self._is_confirmed and self.draining.isdisjoint(in_flight()):
            connection.execute(CONFIRM, {"owner": owner, "version": self._version})
            self._is_confirmed = True
