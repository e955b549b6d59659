"""The bypass check: rows that are not what the audit log says, because something wrote past the ORM."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from auditlog.completeness import images
from auditlog.completeness.differences import differing
from auditlog.completeness.images import LastEvent, LiveRow
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


@dataclass(frozen=True, slots=True)
class Checked:
    """One batch: how many rows or objects it had, what is suspicious, and where the next one begins."""

    count: int
    suspects: tuple[Finding, ...]
    position: str | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left of the suspects after their events had time to arrive."""

    found: tuple[Finding, ...]
    # Events of theirs are still on their way.
    pending: tuple[Finding, ...]


def check(table: Table, *, batch_rows: int, position: str | None = None) -> Iterator[Checked]:
    """
    Compare all rows of a table, then all objects of the audit log, with the other side; yield after each batch.

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
    for choose, kinds in ((images.sampled_keys, frozenset(Kind)), (images.sampled_objects, frozenset({Kind.DELETED}))):
        for keys in parts(choose(table, size), batch_rows):
            suspects = [suspect for suspect in compare(table, keys) if suspect.kind in kinds]
            yield Checked(len(keys), tuple(suspects), None)


def compare(table: Table, keys: Sequence[str]) -> list[Finding]:
    """Compare the rows of these keys with their last events."""
    now = images.clock(table)
    return judge(table, keys, images.rows_of(table, keys), images.last_events(table, keys, until=now))


def settle(
    table: Table, suspects: Sequence[Finding], *, grace_seconds: float, batch_rows: int, stop: threading.Event
) -> Settled:
    """Look at suspects again until they agree, for at most `grace_seconds`, and return those that still do not."""
    deadline = time.monotonic() + grace_seconds
    left = tuple(suspects)
    while left:
        is_over = time.monotonic() >= deadline or stop.is_set()
        left = tuple(_still(table, left, batch_rows))
        if is_over:
            break
        if left:
            stop.wait(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
    on_their_way = {key for keys in parts([one.key for one in left], batch_rows) for key in images.waiting(table, keys)}
    if stop.is_set():
        on_their_way = {one.key for one in left}  # had no time to arrive
    return Settled(
        tuple(one for one in left if one.key not in on_their_way),
        tuple(one for one in left if one.key in on_their_way),
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
        yield Checked(len(rows), tuple(suspects), LOG if is_last else f"{ROWS}:{after}")
        if is_last:
            return


def _check_objects(table: Table, before: str | None, batch_rows: int) -> Iterator[Checked]:
    while keys := images.objects_before(table, before, batch_rows):
        # The others were found among the rows.
        gone = [suspect for suspect in compare(table, keys) if suspect.kind is Kind.DELETED]
        before = keys[-1]
        yield Checked(len(keys), tuple(gone), f"{LOG}:{before}")


def _still(table: Table, suspects: Sequence[Finding], batch_rows: int) -> Iterator[Finding]:
    for keys in parts([suspect.key for suspect in suspects], batch_rows):
        yield from compare(table, keys)


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
    columns = differing(table.plan, live=row.image, last=last)
    return (Kind.CHANGED if columns else None), columns
