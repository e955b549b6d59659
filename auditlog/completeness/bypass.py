"""The bypass check: rows and links that are not what the audit log says, because something wrote past the ORM."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from auditlog import topics
from auditlog.completeness import images, memberships
from auditlog.completeness.differences import differing
from auditlog.completeness.images import LastEvent, LiveRow
from auditlog.completeness.links import links_of
from auditlog.completeness.memberships import LinkFinding
from auditlog.completeness.tables import BadKey, Table

POLL_SECONDS = 0.5
# The two halves of a check: the rows of the table, then the objects of the audit log.
ROWS, LOG = "rows", "log"


class Kind(StrEnum):
    """How a row and the audit log disagree."""

    CHANGED = "changed"  # the row is not what its last event says
    NO_EVENT = "no_event"  # the row has no event at all: inserted past the ORM, or there before auditing began
    INSERTED = "inserted"  # the row is there, and its last event is a delete
    DELETED = "deleted"  # the row is gone, and its last event is no delete


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that disagrees with the audit log."""

    model: str
    table: str
    key: str
    kind: Kind
    columns: tuple[str, ...] = ()
    # What was seen: the row's image, as its digest, and the order of its last event.
    seen: bytes | None = None
    sequence: str | None = None

    def members(self) -> dict[str, Any]:
        """Return the finding as `--json` prints it."""
        return {
            "model": self.model,
            "table": self.table,
            "key": self.key,
            "kind": self.kind,
            "columns": list(self.columns),
        }

    def __str__(self) -> str:
        columns = f": {', '.join(self.columns)}" if self.columns else ""
        return f"{self.table} {self.key} {self.kind}{columns}"


# A row, or the links of an object in one field.
Difference = Finding | LinkFinding


@dataclass(frozen=True, slots=True)
class Checked:
    """One batch: how many rows or objects it had, what is suspicious, and where the next one begins."""

    count: int
    suspects: tuple[Difference, ...]
    position: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left of the suspects after their events had time to arrive."""

    found: tuple[Difference, ...]
    # Events of theirs are still on their way.
    pending: tuple[Difference, ...]


def check(table: Table, *, batch_rows: int, position: str | None = None) -> Iterator[Checked]:
    """
    Compare all rows of a table and their links, then all objects of the audit log, with the other side, in batches.

    Suspects are no findings yet: an event takes a moment from the commit to the audit log. See `settle`.

    :raises BadKey: for a position that is none of this table.
    """
    phase, _, key = (position or ROWS).partition(":")
    if phase not in {ROWS, LOG}:
        raise BadKey(f"{position!r} is no place to go on after: it begins with {ROWS}: or {LOG}:.")
    if phase != LOG:
        yield from _check_rows(table, key or None, batch_rows)
        key = ""
    yield from _check_objects(table, key or None, batch_rows)


def check_sample(table: Table, *, size: int, batch_rows: int) -> Iterator[Checked]:
    """Compare rows chosen at random, and objects of the audit log chosen at random, with the other side."""
    for keys in parts(images.sampled_keys(table, size), batch_rows):
        yield Checked(len(keys), (*compare(table, keys), *_compare_links(table, keys)), None)
    for keys in parts(images.sampled_objects(table, size), batch_rows):
        yield Checked(len(keys), tuple(_compare_gone(table, keys)), None)


def compare(table: Table, keys: Sequence[str]) -> list[Finding]:
    """Compare the rows of these keys with their last events."""
    now = images.clock(table)
    return judge(table, keys, images.rows_of(table, keys), images.last_events(table, keys, until=now))


def settle(
    table: Table, suspects: Sequence[Difference], *, grace_seconds: float, batch_rows: int, stop: threading.Event
) -> Settled:
    """
    Look at suspects again until they agree, for at most `grace_seconds`, and return those that still do not.

    Of links, what differs is what did so at every look: objects with many links may have some on their way always.
    """
    deadline = time.monotonic() + grace_seconds
    left = tuple(suspects)
    while left:
        is_over = time.monotonic() >= deadline or stop.is_set()
        left = (*_rows_still(table, left, batch_rows), *_links_still(table, left, batch_rows))
        if is_over:
            break
        if left:
            stop.wait(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    if stop.is_set():
        return Settled((), left)  # had no time to arrive
    on_their_way = set(_waiting(table, left, batch_rows))
    return Settled(
        tuple(one for one in left if one not in on_their_way),
        tuple(one for one in left if one in on_their_way),
    )


def judge(table: Table, keys: Sequence[str], rows: Sequence[LiveRow], last: dict[str, LastEvent]) -> list[Finding]:
    """Return how rows and last events disagree."""
    live = {row.key: row for row in rows}
    judged = (_judged(table, key, live.get(key), last.get(key)) for key in keys)
    return [finding for finding in judged if finding is not None]


def parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut a list of keys into batches."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _check_rows(table: Table, after: str | None, batch_rows: int) -> Iterator[Checked]:
    while True:
        now = images.clock(table)
        rows = images.rows_after(table, after, batch_rows)
        keys = [row.key for row in rows]
        suspects = judge(table, keys, rows, images.last_events(table, keys, until=now))
        is_last = len(rows) < batch_rows
        after = keys[-1] if keys else after
        found: list[Difference] = [*suspects, *_compare_links(table, keys)]
        yield Checked(len(rows), tuple(found), LOG if is_last else f"{ROWS}:{after}")
        if is_last:
            return


def _check_objects(table: Table, before: str | None, batch_rows: int) -> Iterator[Checked]:
    while keys := images.objects_before(table, before, batch_rows):
        before = keys[-1]
        yield Checked(len(keys), tuple(_compare_gone(table, keys)), f"{LOG}:{before}")


def _compare_links(table: Table, keys: Sequence[str]) -> Iterator[LinkFinding]:
    for link in links_of(table) if keys else ():
        yield from memberships.compare(link, keys)


def _compare_gone(table: Table, keys: Sequence[str]) -> Iterator[Difference]:
    """Compare those of these objects that have no row: the others were compared as rows."""
    now = images.clock(table)
    live = {row.key for row in images.rows_of(table, keys)}
    gone = [key for key in keys if key not in live]
    yield from judge(table, gone, [], images.last_events(table, gone, until=now))
    yield from _compare_links(table, gone)


def _rows_still(table: Table, suspects: Sequence[Difference], batch_rows: int) -> Iterator[Finding]:
    for keys in parts([one.key for one in suspects if isinstance(one, Finding)], batch_rows):
        yield from compare(table, keys)


def _links_still(table: Table, suspects: Sequence[Difference], batch_rows: int) -> Iterator[LinkFinding]:
    for link in links_of(table):
        field = link.plan.field_name
        earlier = {one.key: one for one in suspects if isinstance(one, LinkFinding) and one.field == field}
        for keys in parts(list(earlier), batch_rows):
            for now in memberships.compare(link, keys):
                if (still := now.still(earlier[now.key])) is not None:
                    yield still


def _waiting(table: Table, suspects: Sequence[Difference], batch_rows: int) -> Iterator[Difference]:
    """Yield those whose events wait in the outbox."""
    fields = dict.fromkeys(one.field for one in suspects if isinstance(one, LinkFinding))
    for field in (None, *fields):
        topic = topics.row_topic(table.label) if field is None else topics.events_topic(table.label)
        mine = {one.key: one for one in suspects if (one.field if isinstance(one, LinkFinding) else None) == field}
        for keys in parts(list(mine), batch_rows):
            yield from (mine[key] for key in images.waiting(table, keys, topic=topic, field=field))


def _judged(table: Table, key: str, row: LiveRow | None, last: LastEvent | None) -> Finding | None:
    kind, columns = _verdict(table, row, last)
    if kind is None:
        return None
    return Finding(
        table.label,
        table.model._meta.db_table,
        key,
        kind,
        columns,
        seen=row.digest if row is not None else None,
        sequence=last.sequence if last is not None else None,
    )


def _verdict(table: Table, row: LiveRow | None, last: LastEvent | None) -> tuple[Kind | None, tuple[str, ...]]:
    if row is None:
        return (Kind.DELETED if last is not None and not last.is_delete else None), ()
    if last is None:
        return Kind.NO_EVENT, ()
    if last.is_delete:
        return Kind.INSERTED, ()
    columns = differing(table.plan, live=row.text, last=last)
    return (Kind.CHANGED if columns else None), columns
