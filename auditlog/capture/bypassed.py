"""The net under the compilers: a receiver finds that the write of an instance did not pass them, and records it."""

from __future__ import annotations

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import context
from auditlog.capture.columns import quote, regclass
from auditlog.capture.plans import RowPlan, plan_for
from auditlog.capture.state import Capability, capability, report_uncaptured
from auditlog.errors import UncapturedWrite
from auditlog.metrics import UncapturedReason
from auditlog.text import encode, key_text
from auditlog.vocabulary import BulkPolicy, Operation
from auditlog.wake import schedule_wake

ROW = "auditlog_t"
# Says in `audit` that the event was made after the write: what the row was before is not known.
MARK = '"captured_by":"receiver",'


def capture_bypassed(
    instance: models.Model,
    sender: type[models.Model],
    connection: BaseDatabaseWrapper,
    *,
    operation: Operation,
    text: str | None,
) -> None:
    """
    Record the write that `instance` just went through, in its transaction, from what the table holds now.

    :raises UncapturedWrite: in autocommit mode, in which the write has committed without its event; only logged and
        counted for a model that is registered with `bulk="warn"`.
    """
    plan, can = plan_for(sender, connection), capability(connection)
    if plan is None or plan.row is None or can is None:
        return
    if connection.in_atomic_block:
        report_uncaptured(label=plan.row.label, reason=UncapturedReason.CAPTURED_LATE)
        _record(instance, plan.row, can, connection, operation, text)
        schedule_wake(connection)
        return
    report_uncaptured(label=plan.row.label, reason=UncapturedReason.BYPASSED)
    if plan.row.registration.bulk is not BulkPolicy.WARN:
        raise UncapturedWrite(
            f"A write of {plan.row.label} passed by the capturing compilers and has committed without its event: a "
            "manager, a model or a database backend overrides what Django does. Write it inside transaction.atomic()."
        )


def _record(
    instance: models.Model,
    row: RowPlan,
    can: Capability,
    connection: BaseDatabaseWrapper,
    operation: Operation,
    text: str | None,
) -> None:
    meta = (instance._meta.concrete_model or type(instance))._meta
    table = quote(meta.db_table)
    # The receiver speaks of one object: its text needs no key.
    frame = (MARK + context.frame_members(), encode({"": text}) if text else None, context.traceparent())
    if operation is Operation.DELETE:
        # The row is gone: that it is, is all that can be told.
        statement = (
            f"SELECT {can.schema}.auditlog_emit('d', {row.constants}, {regclass(table)}, %s, NULL, "
            "NULL::record, NULL::record, NULL, %s, %s, %s)"
        )
        params = (key_text(instance.pk), *frame)
    else:
        call = row.emit(schema=can.schema, op=operation, old=None, new=ROW)
        condition = " AND ".join(f"{ROW}.{quote(str(field.column))} = %s" for field in meta.pk_fields)
        statement = f"SELECT {call} FROM {table} {ROW} WHERE {condition}"
        values = (field.get_db_prep_value(getattr(instance, field.attname), connection) for field in meta.pk_fields)
        params = (*frame, *values)
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
