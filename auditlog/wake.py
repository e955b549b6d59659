"""Says after the commit that the outbox has something: once for each transaction that wrote to it."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.signals import outbox_written


def schedule_wake(connection: BaseDatabaseWrapper) -> None:
    """
    Send `outbox_written` when the current transaction commits; at once in autocommit mode.

    A savepoint that rolls back takes its hooks with it: a hook is already there only if whatever takes it away takes
    this write away too. A hook too many costs a flag, one too few a poll of the relay.
    """
    if connection.run_on_commit:
        savepoints, hook = connection.run_on_commit[-1][:2]
        # None stands for a block without a savepoint.
        lasts_as_long = savepoints - {None} <= set(connection.savepoint_ids)
        if lasts_as_long and isinstance(hook, partial) and hook.func is _wake:
            return
    if not connection.in_atomic_block and not connection.get_autocommit():
        return  # whoever manages transactions by hand has no commit hook: the relay polls
    transaction.on_commit(partial(_wake, connection.alias), using=connection.alias, robust=True)


def _wake(using: str) -> None:
    outbox_written.send_robust(sender=None, using=using)
