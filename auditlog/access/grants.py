"""Gives and takes back access to the audit log; each time an event says who did it, to whom, and why."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router, transaction

from auditlog import context
from auditlog.access.reach import Reach
from auditlog.access.scopes import Scope
from auditlog.capture.messages import append_system
from auditlog.models import AccessGrant
from auditlog.vocabulary import Action, Category

# Grants are few; index of the members: that of `member_id`.
HELD = """
SELECT g.* FROM "{grants}" g WHERE g.user_id = %s OR g.api_key_id = %s
  OR g.group_id IN (SELECT m."{group_id}" FROM "{members}" m WHERE m."{member_id}" = %s)
ORDER BY g.id
"""
# The fields of a grant that say who holds it.
HOLDERS = ("user", "group", "api_key")


def give(grant: AccessGrant) -> AccessGrant:
    """
    Store a new grant together with the event that says so.

    :raises ValidationError: if it names no holder or several, an unknown scope, a model that is not audited, or what is
        no label.
    """
    grant.full_clean()
    with transaction.atomic(using=_alias()):
        grant.save(force_insert=True)
        _tell(Action.ACCESS_GRANTED, grant, using=_alias(), reason=grant.reason)
    return grant


def take_back(grant: AccessGrant, *, reason: str) -> None:
    """Remove a grant together with the event that says so; does nothing where it is gone already."""
    with transaction.atomic(using=_alias()):
        # Whoever comes second waits here, and finds nothing.
        found = AccessGrant.objects.select_for_update().filter(pk=grant.pk).first()
        if found is not None:
            with context.set_reason(reason):
                found.delete()


def note_removal(*, instance: AccessGrant, using: str, **_signal: Any) -> None:
    """Tell that a grant ends with its row: taken back, or gone together with its holder."""
    _tell(Action.ACCESS_REVOKED, instance, using=using, reason=context.current().reason or "")


def held(*, user: Any, key_id: int | None = None) -> Sequence[AccessGrant]:
    """Return the grants of a user, of their groups, and of one of their keys, with one statement."""
    return list(AccessGrant.objects.raw(_held(), [user.pk, key_id, user.pk]))


@cache
def _held() -> str:
    """Return the text of HELD: written by Django for each request, it would take longer than to execute it."""
    groups: Any = get_user_model()._meta.get_field("groups")
    return HELD.format(
        grants=AccessGrant._meta.db_table,
        members=groups.m2m_db_table(),
        member_id=groups.m2m_column_name(),
        group_id=groups.m2m_reverse_name(),
    )


def reach_of(grant: AccessGrant, *, otherwise: Reach) -> Reach:
    """Return what a grant allows; one without scopes takes those of `otherwise`."""
    scopes = frozenset(map(Scope, grant.scopes)) or otherwise.scopes
    return Reach.of(scopes=scopes, models=grant.model_names, labels=grant.labels)


def described(grant: AccessGrant) -> dict[str, Any]:
    """Return a grant as the command reports it and as its events tell of it."""
    return {
        "id": grant.pk,
        "user": None if grant.user is None else grant.user.get_username(),
        "group": None if grant.group is None else grant.group.name,
        "api_key": None if grant.api_key is None else grant.api_key.prefix,
        "scopes": sorted(grant.scopes),
        "models": sorted(grant.model_names),
        "labels": sorted(grant.labels),
        "reason": grant.reason,
    }


def _tell(action: Action, grant: AccessGrant, *, using: str, reason: str) -> None:
    data = {name: value for name, value in described(grant).items() if name != "reason"}
    append_system(connections[using], action=action, category=Category.ADMIN, data={"grant": data}, reason=reason)


def _alias() -> str:
    return router.db_for_write(AccessGrant)
