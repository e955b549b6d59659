"""The second wall: row security of the database, for callers who may not see every row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.access import policies
from auditlog.access.rights import Rights
from auditlog.models import AuditLog

# Both for the transaction only: a connection is handed on without them, by us and by a pooler in transaction mode.
ENTER = "SELECT current_setting('role'), set_config(%s, %s, true), set_config('role', %s, true)"
LEAVE = "SELECT set_config('role', %s, true), set_config(%s, '', true)"

# Where the wall was found standing: a role that can stand behind it goes on to be able to.
_found: set[tuple[Any, ...]] = set()


@contextmanager
def behind_wall(rights: Rights) -> Iterator[None]:
    """
    Open a block in which the database shows what the rights allow, and nothing else, whatever is asked.

    A transaction of the audit log's alias, with one statement of its own. Does nothing for callers who may see every
    row, and where there is no wall: where the database roles do not exist.
    """
    connection = connections[router.db_for_read(AuditLog)]
    if rights.sees_everything or not stands(connection):
        yield
        return
    is_nested = connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(ENTER, [policies.SETTING, json.dumps(allowed(rights)), policies.RESTRICTED])
            role = cursor.fetchone()[0]
        yield
        # The end of the transaction takes both back. Where it is not ours, it goes on without them.
        if is_nested and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute(LEAVE, [role, policies.SETTING])


def stands(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether callers of this connection can be put behind the wall; asks until it was found once."""
    settings = connection.settings_dict
    key = tuple(settings[name] for name in ("HOST", "PORT", "NAME", "USER"))
    if key not in _found and connection.vendor == "postgresql" and policies.stand(connection):
        _found.add(key)
    return key in _found


def allowed(rights: Rights) -> dict[str, list[str]]:
    """Return the setting's value: what is not named is not restricted, but for the actors of the events."""
    found: dict[str, list[str]] = {}
    if not rights.reads_own_only:
        found["everybody"] = []
    elif rights.may_read and rights.actor_id is not None:
        found["actors"] = [rights.actor_id]
    if rights.models is not None:
        found["models"] = sorted(rights.models)
    if rights.labels:
        found["dimensions"] = sorted(rights.labels)
        found["labels"] = [label for labels in rights.label_sets for label in labels]
    return found
