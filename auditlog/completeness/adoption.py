"""Adopts what the bypass check found: an event of the change that had none, so that the chain of images goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from django.db import OperationalError, transaction

from auditlog import context, topics
from auditlog.actors import os_user
from auditlog.capture.columns import regclass
from auditlog.completeness import images, memberships
from auditlog.completeness.bypass import Difference, Finding, Kind
from auditlog.completeness.images import LastEvent, LiveRow
from auditlog.completeness.links import Link, LinkTable, links_of
from auditlog.completeness.memberships import LinkFinding
from auditlog.completeness.tables import Table
from auditlog.context import set_extra_data
from auditlog.large_values import Reference
from auditlog.vocabulary import Action, Operation
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


def adopt(table: Table, finding: Difference) -> bool:
    """
    Record what happened to the row or the links of a finding, in a transaction that holds them.

    The event of a row has the last audited image as `before`, the row as it is as `after`; links have one event for
    what was added, removed and changed each. Nobody is their actor. Returns False, having done nothing, where the row,
    the links or their history are no longer what was found, or could not be locked in time.
    """
    try:
        with transaction.atomic(using=table.connection.alias, durable=True):
            is_done = _adopt_links(table, finding) if isinstance(finding, LinkFinding) else _adopt_row(table, finding)
            if is_done:
                schedule_wake(table.connection)
            return is_done
    except OperationalError as exc:
        if getattr(exc.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            return False
        raise


def _adopt_row(table: Table, finding: Finding) -> bool:
    _lock(table, table.name if finding.kind is Kind.DELETED else None)
    row = images.locked_row(table, finding.key)
    last = images.last_events(table, [finding.key], until=images.clock(table)).get(finding.key)
    is_as_found = (row and row.digest, last and last.sequence) == (finding.seen, finding.sequence)
    if not is_as_found or images.waiting(table, [finding.key], topic=topics.row_topic(table.label)):
        return False
    _record(table, finding, row, last)
    return True


def _adopt_links(table: Table, finding: LinkFinding) -> bool:
    link = next(link for link in links_of(table) if link.plan.field_name == finding.field)
    _lock(table, link.name if finding.removed else None)
    held = link.held(finding.key)
    is_as_found = memberships.compare(link, [finding.key]) == [finding]
    topic = topics.events_topic(table.label)
    if not is_as_found or images.waiting(table, [finding.key], topic=topic, field=finding.field):
        return False
    changed = tuple(target for target, _columns in finding.changed)
    _record_links(link, finding.key, Action.M2M_REMOVE, finding.removed, ())
    _record_links(link, finding.key, Action.M2M_ADD, finding.added, held)
    _record_links(link, finding.key, Action.M2M_UPDATE, changed, held)
    return True


def _lock(table: Table, absent_from: str | None) -> None:
    with table.connection.cursor() as cursor:
        cursor.execute(LOCK_TIMEOUT)
        if absent_from is not None:
            cursor.execute(f"LOCK TABLE {absent_from.replace('%%', '%')} IN SHARE ROW EXCLUSIVE MODE")


def _record(table: Table, finding: Finding, row: LiveRow | None, last: LastEvent | None) -> None:
    before = last.after if last is not None else None
    after = _with_what_is_known(table, row.text, before) if row is not None else None
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


def _record_links(link: LinkTable, key: str, action: Action, targets: Iterable[str], held: Iterable[Link]) -> None:
    names, plan = list(targets), link.plan
    if not names:
        return
    own = {one.target: msgspec.Raw(one.through.encode()) for one in held if one.through and one.target in names}
    through = msgspec.json.encode(own).decode() if own else None
    statement = (
        f"SELECT {link.table.can.schema}.auditlog_emit_links(%s, {plan.constants}, {regclass(link.name)}, %s, "
        "%s, %s, %s::text[], %s, NULL, %s, NULL, %s)"
    )
    params = [action, key, plan.field_name, plan.target_model, names, through, _frame(), context.traceparent()]
    with link.table.connection.cursor() as cursor:
        cursor.execute(statement, params)


def _with_what_is_known(table: Table, after: str, before: str | None) -> str:
    """
    Return the image with what stands in the former one for the same value.

    Masks that the application made, which cannot be compared, nor made in SQL; references to what did not change.
    """
    if before is None:
        return after
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    image, known = decoder.decode(after), decoder.decode(before)
    masks = {column.name for column in table.plan.columns if column.mask == "callable"}
    for name in image.keys() & known.keys():
        new, old = bytes(image[name]), bytes(known[name])
        reference = Reference.of(msgspec.json.decode(old)) if old.startswith(b"{") else None
        is_masked = name in masks and b"null" not in {new, old}
        if is_masked or (reference is not None and reference.stands_for(new)):
            image[name] = known[name]
    return msgspec.json.encode(image).decode()


def _frame() -> str:
    """Return the members of the event: nobody knows who wrote, but who adopted it is."""
    adopter = context.actor_of_write()
    by: dict[str, Any] = {"os_user": os_user(), **({} if adopter is None else {"actor": adopter.members()})}
    with set_extra_data(adopted_by=by):
        return MARK + context.render_members(actor=None, reason=context.current().reason or REASON)
