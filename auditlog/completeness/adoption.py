"""Adopts what the bypass check found: an event of the change that had none, so that the chain of images goes on."""

from __future__ import annotations

from typing import Any

import msgspec
from django.db import OperationalError, transaction

from auditlog import context
from auditlog.actors import os_user
from auditlog.completeness import images
from auditlog.completeness.bypass import Finding, Kind
from auditlog.completeness.images import LastEvent, LiveRow
from auditlog.completeness.tables import Table
from auditlog.context import set_extra_data
from auditlog.vocabulary import Operation
from auditlog.wake import schedule_wake

# Says in `audit` that the event was made after the write: by whom and when the row was written is not known.
MARK = '"captured_by":"bypass_check",'
REASON = "Found by audit_bypass."
OPERATIONS = {
    Kind.CHANGED: Operation.UPDATE,
    Kind.NO_EVENT: Operation.CREATE,
    Kind.INSERTED: Operation.CREATE,
    Kind.DELETED: Operation.DELETE,
}
# A row that is not there cannot be locked: the table is, for one statement, and nobody waits longer for it than this.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
LOCK_NOT_AVAILABLE = "55P03"


def adopt(table: Table, finding: Finding) -> bool:
    """
    Record what happened to the row of a finding, in a transaction that holds the row.

    The event has the last audited image as `before`, the row as it is as `after`, and no actor. Returns False, having
    done nothing, where the row or its history is no longer what was found, or could not be locked in time.
    """
    try:
        with transaction.atomic(using=table.connection.alias, durable=True):
            row = _held(table, finding)
            until = images.clock(table)
            last = images.last_events(table, [finding.key], until=until).get(finding.key)
            is_as_found = (row and row.digest, last and last.sequence) == (finding.seen, finding.sequence)
            if not is_as_found or images.waiting(table, [finding.key]):
                return False
            _record(table, finding, row, last)
            schedule_wake(table.connection)
            return True
    except OperationalError as exc:
        if getattr(exc.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            return False
        raise


def _held(table: Table, finding: Finding) -> LiveRow | None:
    with table.connection.cursor() as cursor:
        cursor.execute(LOCK_TIMEOUT)
        if finding.kind is Kind.DELETED:
            cursor.execute(f"LOCK TABLE {table.name.replace('%%', '%')} IN SHARE ROW EXCLUSIVE MODE")
    return images.locked_row(table, finding.key)


def _record(table: Table, finding: Finding, row: LiveRow | None, last: LastEvent | None) -> None:
    before = last.after if last is not None else None
    after = _with_known_masks(table, row.text, before) if row is not None else None
    masked_changed = [c.name for c in table.plan.columns if c.mask and c.name in finding.columns]
    statement = (
        f"SELECT {table.can.schema}.auditlog_emit_images(%s, {table.plan.constants}, {table.relation}, "
        "%s, %s, %s, %s, %s::text[], %s, NULL, %s)"
    )
    old_key, new_key = finding.key if before else None, finding.key if after else None
    params = [
        OPERATIONS[finding.kind],
        old_key,
        new_key,
        before,
        after,
        masked_changed,
        _frame(),
        context.traceparent(),
    ]
    with table.connection.cursor() as cursor:
        cursor.execute(statement, params)


def _with_known_masks(table: Table, after: str, before: str | None) -> str:
    """Return the image with the masks that the application made before: they cannot be compared, nor made in SQL."""
    names = [column.name for column in table.plan.columns if column.mask == "callable"]
    if before is None or not names:
        return after
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    image, known = decoder.decode(after), decoder.decode(before)
    for name in names:
        if name in known and b"null" not in {bytes(image[name]), bytes(known[name])}:
            image[name] = known[name]
    return msgspec.json.encode(image).decode()


def _frame() -> str:
    """Return the members of the event: nobody knows who wrote, but who adopted it is."""
    adopter = context.actor_of_write()
    by: dict[str, Any] = {"os_user": os_user(), **({} if adopter is None else {"actor": adopter.members()})}
    with set_extra_data(adopted_by=by):
        return MARK + context.render_members(actor=None, reason=context.current().reason or REASON)
