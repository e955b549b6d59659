"""
Moves topics to new ones without losing the order: hold their events back, wait for what is under way, change the route.

What has another number of partitions places keys anew, so nothing may go to the new topic before everything earlier
stands on the old one. A move that is interrupted changes nothing: what holds events back runs out by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db import connection, transaction

from auditlog.capture.messages import append_system
from auditlog.vocabulary import Action, Category
from publishers.models import TopicRoute
from publishers.wake import BALANCE, CHANNEL

# Events are held back for so long after who moves was last heard of.
HOLD_SECONDS = 10
POLL_SECONDS = 0.05

# One change of routes at a time, so that versions grow in the order of commits.
LOCK = "LOCK TABLE publishers_topicroute IN SHARE ROW EXCLUSIVE MODE"
NEXT_VERSION = "(SELECT coalesce(max(version), 0) + 1 FROM publishers_topicroute)"
# Hold the events of topics back, unless they are held back already. A handful of rows, as below.
HOLD = f"""
INSERT INTO publishers_topicroute (topic, target, draining_until, version)
SELECT topic, topic, clock_timestamp() + make_interval(secs => %(seconds)s), {NEXT_VERSION}
FROM unnest(%(topics)s::text[]) topic
ON CONFLICT (topic) DO UPDATE SET draining_until = excluded.draining_until, version = excluded.version
WHERE publishers_topicroute.draining_until IS NULL OR publishers_topicroute.draining_until <= clock_timestamp()
RETURNING version
"""
# Go on holding; what has run out once is never revived.
HOLD_ON = """
UPDATE publishers_topicroute SET draining_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE version = %(version)s AND draining_until > clock_timestamp()
"""
# Relays that live and may still have something under way.
BEHIND = """
SELECT owner FROM publishers_relaymember WHERE until > clock_timestamp() AND followed < %(version)s ORDER BY owner
"""
SWITCH = f"""
UPDATE publishers_topicroute r
SET target = t.target, partitions = %(partitions)s, draining_until = NULL, version = {NEXT_VERSION}
FROM unnest(%(topics)s::text[], %(targets)s::text[]) t (topic, target)
WHERE r.topic = t.topic AND r.version = %(version)s AND r.draining_until > clock_timestamp()
"""
LET_GO = f"""
UPDATE publishers_topicroute SET draining_until = NULL, version = {NEXT_VERSION} WHERE version = %(version)s
"""
# Have the relays look at once.
TELL = f"NOTIFY {CHANNEL}, '{BALANCE}'"


class NotMoved(Exception):
    """The topics were not moved: everything is as it was."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where the events of a topic go; `partitions` is None where `kafka_topics` decides."""

    target: str
    partitions: int | None


def routes() -> dict[str, Route]:
    """Return the routes of topics that were moved."""
    found = TopicRoute.objects.filter(partitions__isnull=False)
    return {route.topic: Route(route.target, route.partitions) for route in found}


def move(
    targets: Mapping[str, str], *, partitions: int, reason: str, timeout_seconds: float, stop: threading.Event
) -> None:
    """
    Let the events of topics go to others, which exist; a system event says so.

    Nothing of these topics is published while the relays finish what they have under way: milliseconds, or as long as
    the brokers do not answer, or until the leases of a relay that was killed run out.

    :raises NotMoved: if not every relay was done in time, somebody else moves one of the topics, or `stop` was set.
    """
    version = _hold(list(targets))
    try:
        _await_relays(version, timeout_seconds=timeout_seconds, stop=stop)
        _switch(targets, version=version, partitions=partitions, reason=reason)
    except BaseException:
        _execute(LET_GO, version=version)
        raise
    finally:
        _execute(TELL)


def _hold(topics: Collection[str]) -> int:
    with transaction.atomic():
        _execute(LOCK)
        with connection.cursor() as cursor:
            cursor.execute(HOLD, {"topics": list(topics), "seconds": HOLD_SECONDS})
            versions = [version for (version,) in cursor.fetchall()]
        if len(versions) < len(topics):
            raise NotMoved("Somebody else is moving one of these topics.")
    _execute(TELL)
    return int(versions[0])


def _await_relays(version: int, *, timeout_seconds: float, stop: threading.Event) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        # In this order: who is not seen here reads the routes later than they were held.
        with connection.cursor() as cursor:
            cursor.execute(BEHIND, {"version": version})
            behind = [owner for (owner,) in cursor.fetchall()]
        if not behind:
            return
        if time.monotonic() >= deadline:
            raise NotMoved(f"After {timeout_seconds:g} seconds events are still under way at {', '.join(behind)}.")
        if stop.wait(POLL_SECONDS):
            raise NotMoved("A signal ended the move.")
        if not _execute(HOLD_ON, version=version, seconds=HOLD_SECONDS):
            raise NotMoved("The database was not reached for too long.")


def _switch(targets: Mapping[str, str], *, version: int, partitions: int, reason: str) -> None:
    with transaction.atomic():
        _execute(LOCK)
        moved = _execute(
            SWITCH, topics=list(targets), targets=list(targets.values()), version=version, partitions=partitions
        )
        if moved < len(targets):
            raise NotMoved("The database was not reached for too long.")
        data = {"topics": dict(targets), "partitions": partitions}
        append_system(connection, action=Action.TOPICS_MOVED, category=Category.ADMIN, data=data, reason=reason)


def _execute(statement: str, **values: int | list[str]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return int(cursor.rowcount)
