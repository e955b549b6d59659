"""One captured statement: which plan it follows, what it carries, and the SQL around the write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import Exact, In
from django.db.models.sql.where import AND, WhereNode

from auditlog import context
from auditlog.capture import masked
from auditlog.capture.gaps import tell_gap
from auditlog.capture.masked import Collector
from auditlog.capture.plans import Plan, RowPlan, plan_for
from auditlog.capture.state import Capability, capability, log, report_uncaptured
from auditlog.errors import UncapturedWrite
from auditlog.frames import Frame, current_frames, held_labels
from auditlog.metrics import UncapturedReason
from auditlog.text import encode, key_text
from auditlog.vocabulary import Action, BulkPolicy, Operation

RENAMED = "WITH (OLD AS auditlog_old, NEW AS auditlog_new) "
OLD_ROW, NEW_ROW = "auditlog_old", "auditlog_new"
# A WHERE clause that names more keys than this is not searched for frames.
MOST_KEYS = 1_000

OWNER, TARGET = "auditlog_owner", "auditlog_target"
OLD_OWNER, OLD_TARGET = "auditlog_old_owner", "auditlog_old_target"
MOVED = f"({OWNER}, {TARGET}) <> ({OLD_OWNER}, {OLD_TARGET})"
CHANGED = "auditlog_changed"
ADDED = (Action.M2M_ADD, OWNER, TARGET, "true")
# The events of link rows, by the operation on the through table: action, owner, target, which rows.
LINK_EVENTS = {
    "c": (ADDED,),
    "d": ((Action.M2M_REMOVE, OWNER, TARGET, "true"),),
    "u": (
        (Action.M2M_REMOVE, OLD_OWNER, OLD_TARGET, MOVED),
        (Action.M2M_ADD, OWNER, TARGET, MOVED),
        (Action.M2M_UPDATE, OWNER, TARGET, f"NOT {MOVED} AND {CHANGED}"),
    ),
    # INSERT … ON CONFLICT DO UPDATE: what had no old row was added.
    "s": (
        (*ADDED[:3], f"{OLD_OWNER} IS NULL"),
        (Action.M2M_UPDATE, OWNER, TARGET, f"{OLD_OWNER} IS NOT NULL AND {CHANGED}"),
    ),
}

Sql = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Write:
    """An INSERT, UPDATE or DELETE without its RETURNING clause."""

    sql: str
    params: tuple[Any, ...]
    op: str  # as auditlog_emit takes it
    old: str | None  # how RETURNING names the row before and after; None where there is none
    new: str | None
    renamed: str = ""
    columns: tuple[str, ...] = ()  # what Django asked RETURNING for
    finally_: str = ""  # what RETURNING has to do after the event

    @property
    def row(self) -> str:
        """How RETURNING names the row that was written or removed."""
        return self.new or self.old or ""


@dataclass(slots=True)
class Statement:
    """A write under way on a table that a plan exists for."""

    plan: Plan
    can: Capability
    table: str  # quoted
    operation: Operation
    frames: list[Frame] = field(default_factory=list)
    # Where Python makes the masks: what the write returned.
    collected: Collector | None = None
    op: str = ""
    # Those that the WHERE clause of an UPDATE or DELETE names.
    keys: tuple[str, ...] = ()

    def with_event(self, write: Write) -> Sql:
        """
        Return the write with its event in the RETURNING clause.

        Where the table links two others, the rows written pass through a CTE in which each owner gets one event; as
        many rows come back as were written, so that row counts and returned columns stay exact.
        """
        call, call_params = self._row_call(write)
        if self.plan.links is None:
            columns = ", ".join(filter(None, [*write.columns, call, write.finally_]))
            sql = f"{write.sql} RETURNING {write.renamed}{columns}"
            if self.collected is not None:
                self.op = write.op
                self.collected.statements[sql] = len(write.columns)
            return sql, write.params + call_params
        links = self.plan.links
        own = {f"auditlog_c{number}": column for number, column in enumerate(write.columns)}
        returned = own | links.returning(old=write.old, new=write.new, schema=self.can.schema)
        returned |= {name: sql for name, sql in (("auditlog_row", call), ("auditlog_end", write.finally_)) if sql}
        events = [
            f"SELECT {links.emit(schema=self.can.schema, action=action, owner=owner, target=target)} AS auditlog_done "
            f"FROM auditlog_links WHERE {condition} GROUP BY {owner}"
            for action, owner, target, condition in LINK_EVENTS[write.op]
        ]
        sql = (
            f"WITH auditlog_links ({', '.join(returned)}) AS "
            f"({write.sql} RETURNING {write.renamed}{', '.join(returned.values())}), "
            f"auditlog_events AS ({' UNION ALL '.join(events)}) "
            f"SELECT {''.join(f'{name}, ' for name in own)}(SELECT count(auditlog_done) FROM auditlog_events) "
            "FROM auditlog_links"
        )
        labels = held_labels(links.through_label)
        link_params = (encode(labels) if labels else None, *self._frame_params(links.owner_label))
        return sql, write.params + call_params + link_params * len(events)

    def emit_collected(self, connection: BaseDatabaseWrapper) -> None:
        """Record what the write returned instead of recording it: the second statement of the slow path."""
        row, collected = self.plan.row, self.collected
        if row is not None and collected is not None:
            frame = self._frame_params(row.label)
            masked.emit(connection, row, schema=self.can.schema, op=self.op, rows=collected.rows, frame=frame)

    def succeeded(self) -> None:
        """Note on the frames that their write was captured."""
        if self.plan.row is None:
            return
        label = self.plan.row.label
        if self.frames:
            current_frames().captured(label, self.frames)
        else:
            # A condition that names no key: it may have been that of any write under way of this model.
            for frame in current_frames().of_label(label):
                frame.assumed = True

    def found_no_row(self) -> None:
        """Note on the frames that the UPDATE found no row: no later write of these keys may tell what they say."""
        for frame in self.frames:
            frame.found_no_row = True

    def failed(self) -> None:
        """Forget the frames of a statement that raised: they must not land on a later write."""
        current_frames().drop(self.frames)

    def _row_call(self, write: Write) -> tuple[str, tuple[Any, ...]]:
        row = self.plan.row
        if row is None:
            return "", ()
        if self.collected is not None:
            return row.images(schema=self.can.schema, old=write.old, new=write.new), ()
        call = row.emit(schema=self.can.schema, op=write.op, old=write.old, new=write.new)
        return call, self._frame_params(row.label)

    def _frame_params(self, label: str) -> tuple[Any, ...]:
        return context.frame_members(), self._reprs(label), context.traceparent()

    def _reprs(self, label: str) -> str | None:
        inserts = self.operation is Operation.CREATE
        reprs = {
            "" if frame.key is None else frame.key: frame.repr
            for frame in self.frames
            if frame.repr is not None and label in frame.labels and (inserts or not frame.found_no_row)
        }
        return encode(reprs) if reprs else None


def captured_insert(
    model: type[models.Model], objs: Sequence[Any], connection: BaseDatabaseWrapper
) -> Statement | None:
    """Return the statement that an INSERT of these objects makes, or None where nothing is captured."""
    found = plan_for(model, connection) if connection.vendor == "postgresql" else None
    if found is None:
        return None
    label = found.row.label if found.row else ""
    frames = [frame for obj in objs if (frame := current_frames().of_instance(label, obj))] if len(objs) == 1 else []
    return _statement(found, model, connection, Operation.CREATE, frames)


def captured_change(
    model: type[models.Model], where: WhereNode, operation: Operation, connection: BaseDatabaseWrapper
) -> Statement | None:
    """Return the statement that an UPDATE or DELETE makes, or None where nothing is captured."""
    found = plan_for(model, connection) if connection.vendor == "postgresql" else None
    if found is None:
        return None
    label, keys = found.row.label if found.row else "", tuple(_keys(where))
    statement = _statement(found, model, connection, operation, current_frames().of_keys(label, keys))
    if statement is not None:
        statement.keys = keys
    return statement


def _statement(
    plan: Plan, model: type[models.Model], connection: BaseDatabaseWrapper, operation: Operation, frames: list[Frame]
) -> Statement | None:
    row = plan.row
    label = row.label if row else (plan.links.through_label if plan.links else "")
    if any(not frame.wanted for frame in frames):
        return None
    if context.current().disabled is not None:
        tell_gap(connection, label)
        return None
    if row is not None and not frames:
        _apply_bulk_policy(row)
    can = capability(connection)
    if can is None:
        report_uncaptured(label=label, reason=UncapturedReason.NOT_INSTALLED)
        return None
    # Links of the same table pass through a CTE, out of which no images come: masked in full there.
    slow = row is not None and row.registration.mask_callable is not None and plan.links is None
    table = connection.ops.quote_name(model._meta.db_table)
    return Statement(plan, can, table, operation, frames, Collector() if slow else None)


def _apply_bulk_policy(row: RowPlan) -> None:
    policy = row.registration.bulk
    if policy is BulkPolicy.RAISE:
        raise UncapturedWrite(
            f'{row.label} is registered with bulk="raise": set-based writes are forbidden; save or delete instances.'
        )
    if policy is BulkPolicy.WARN:
        log.warning("capture.bulk_write", model=row.label)


def _keys(where: WhereNode) -> Iterable[str]:
    """
    Return the keys that a WHERE clause names: pk = x, pk IN (…), alone or with further conditions.

    Saves and deletes of instances write it so, base managers that add a condition of their own included.
    """
    if where.negated or where.connector != AND:
        return ()
    for condition in where.children:
        if isinstance(condition, WhereNode) and (keys := _keys(condition)):
            return keys
        if isinstance(condition, Exact | In) and _is_primary_key(condition.lhs):
            values = condition.rhs if isinstance(condition, In) else [condition.rhs]
            if isinstance(values, list | tuple | set | frozenset) and len(values) <= MOST_KEYS:
                return [key_text(value) for value in values]
    return ()


def _is_primary_key(side: Any) -> bool:
    target = getattr(side, "target", None) or getattr(side, "output_field", None)
    return bool(getattr(target, "primary_key", False))
