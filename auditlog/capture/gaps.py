"""Gaps in the audit trail: writes inside `disable_auditlog()` leave one event for each model and transaction."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import context
from auditlog.capture.messages import append_system
from auditlog.capture.state import report_uncaptured
from auditlog.context import Disabled
from auditlog.metrics import UncapturedReason
from auditlog.vocabulary import Action, Category


def tell_gap(connection: BaseDatabaseWrapper, label: str) -> None:
    """
    Say that a write of a model is about to go uncaptured: in the log, in a metric, and in the audit trail.

    The event commits with the first such write of each transaction, at most once for each block and model after that.
    """
    block = context.current().disabled
    report_uncaptured(label=label, reason=UncapturedReason.DISABLED)
    if block is None or (connection.alias, label) in block.told or _is_pending(connection, block, label):
        return
    append_system(
        connection,
        action=Action.AUDITING_DISABLED,
        category=Category.SECURITY,
        data={"model": label},
        reason=block.reason,
    )
    if connection.in_atomic_block:
        # Counts as told once it has committed; what rolls back takes the hook along.
        transaction.on_commit(partial(_told, block, connection.alias, label), using=connection.alias, robust=True)
    else:
        _told(block, connection.alias, label)


def _is_pending(connection: BaseDatabaseWrapper, block: Disabled, label: str) -> bool:
    """Tell whether this transaction holds the event already, and loses it only together with the write at hand."""
    wanted = (block, connection.alias, label)
    return any(
        isinstance(hook, partial)
        and hook.func is _told
        and hook.args == wanted
        and savepoints - {None} <= set(connection.savepoint_ids)
        for savepoints, hook, *_ in connection.run_on_commit
    )


def _told(block: Disabled, alias: str, label: str) -> None:
    block.told.add((alias, label))
