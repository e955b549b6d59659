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
from auditlog.capture.plans import Plan, RowPlan, plan_for
from auditlog.capture.state import Capability, capability, log, report_uncaptured
from auditlog.errors import UncapturedWrite
from auditlog.frames import Frame, current_frames, held_labels
from auditlog.metrics import UncapturedReason
from auditlog.text import encode
from auditlog.vocabulary import Action, BulkPolicy, Operation

RENAMED = "WITH (OLD AS auditlog_old, NEW AS auditlog_new) "
OLD_ROW, NEW_ROW = "auditlog_old", "auditlog_new"
# A WHERE clause that names more keys than this is not searched for frames.
MOST_KEYS = 1_000

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

    def with_event(self, write: Write) -> Sql:
        """
        Return the write with its event in the RETURNING clause.

        Where the table links two others, the rows written pass through a CTE in which each owner gets one event; as
        many rows come back as were written, so that row counts and returned columns stay exact.
        """
        call, call_params = self._row_call(write)
        if self.plan.links is None:
            columns = ", ".join(filter(None, [*write.columns, call]))
            return f"{write.sql} RETURNING {write.renamed}{columns}", write.params + call_params
        links = self.plan.links
        columns = ", ".join(filter(None, [*write.columns, links.returning(write.row, schema=self.can.schema), call]))
        own = [f"auditlog_c{number}" for number in range(len(write.columns))]
        names = ", ".join([*own, *links.returned_names(), *(["auditlog_row"] if call else [])])
        sql = (
            f"WITH auditlog_links ({names}) AS ({write.sql} RETURNING {write.renamed}{columns}), "
            f"auditlog_events AS (SELECT {links.emit(schema=self.can.schema, action=self._link_action())} "
            "AS auditlog_done FROM auditlog_links GROUP BY auditlog_owner) "
            f"SELECT {''.join(f'{name}, ' for name in own)}(SELECT count(auditlog_done) FROM auditlog_events) "
            "FROM auditlog_links"
        )
        labels = held_labels(links.through_label)
        link_params = (encode(labels) if labels else None, *self._frame_params(links.owner_label))
        return sql, write.params + call_params + link_params

    def succeeded(self) -> None:
        """Note on the frames that their write was captured."""
        if self.plan.row is not None:
            for frame in self.frames:
                frame.captured.add(self.plan.row.label)

    def failed(self) -> None:
        """Forget the frames of a statement that raised: they must not land on a later write."""
        current_frames().drop(self.frames)

    def _row_call(self, write: Write) -> tuple[str, tuple[Any, ...]]:
        row = self.plan.row
        if row is None:
            return "", ()
        call = row.emit(schema=self.can.schema, op=write.op, old=write.old, new=write.new)
        return call, self._frame_params(row.label)

    def _link_action(self) -> Action:
        return Action.M2M_ADD if self.operation is Operation.CREATE else Action.M2M_REMOVE

    def _frame_params(self, label: str) -> tuple[Any, ...]:
        return context.frame_members(), self._reprs(label), context.traceparent()

    def _reprs(self, label: str) -> str | None:
        reprs = {
            "" if frame.key is None else frame.key: frame.repr
            for frame in self.frames
            if frame.repr is not None and label in frame.labels
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
    label = found.row.label if found.row else ""
    return _statement(found, model, connection, operation, current_frames().of_keys(label, _keys(model, where)))


def _statement(
    plan: Plan, model: type[models.Model], connection: BaseDatabaseWrapper, operation: Operation, frames: list[Frame]
) -> Statement | None:
    row = plan.row
    label = row.label if row else (plan.links.through_label if plan.links else "")
    if any(not frame.wanted for frame in frames):
        return None
    if context.current().disabled is not None:
        report_uncaptured(label=label, reason=UncapturedReason.DISABLED)
        return None
    if row is not None and not frames:
        _apply_bulk_policy(row)
    can = capability(connection)
    if can is None:
        report_uncaptured(label=label, reason=UncapturedReason.NOT_INSTALLED)
        return None
    return Statement(plan, can, connection.ops.quote_name(model._meta.db_table), operation, frames)


def _apply_bulk_policy(row: RowPlan) -> None:
    policy = row.registration.bulk
    if policy is BulkPolicy.RAISE:
        raise UncapturedWrite(
            f'{row.label} is registered with bulk="raise": set-based writes are forbidden; save or delete instances.'
        )
    if policy is BulkPolicy.WARN:
        log.warning("capture.bulk_write", model=row.label)


def _keys(model: type[models.Model], where: WhereNode) -> Iterable[str]:
    """Return the keys that a WHERE clause names as saves and deletes of instances write it: pk = x, pk IN (…)."""
    if len(where.children) != 1 or where.negated or where.connector != AND:
        return ()
    (condition,) = where.children
    target = getattr(getattr(condition, "lhs", None), "target", None)
    if target is None or not target.primary_key or not isinstance(condition, Exact | In):
        return ()
    values = condition.rhs if isinstance(condition, In) else [condition.rhs]
    if not isinstance(values, list | tuple | set | frozenset) or len(values) > MOST_KEYS:
        return ()
    return [str(value) for value in values]
