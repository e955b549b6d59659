"""Decisions of operators about the read model: each is an event of the system itself, with who, what and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from auditlog.capture.messages import append_system
from auditlog.routers import READ_MODEL_ALIAS, one_database
from auditlog.vocabulary import Action, Category
from consumers.faults import ConsumerError


class NotAudited(ConsumerError):
    """The outbox took no event about this decision: run `migrate` on its database."""


def record(*, action: Action, data: Mapping[str, Any], reason: str) -> None:
    """
    Put the event of a decision into the outbox, inside the caller's transaction on the read model.

    Both commit together where outbox and read model are one database. Where they are not, the event commits here, so
    before what it tells of: a crash in between leaves a decision that is told and not done, never the other way round.

    :raises NotAudited: if the outbox is not installed; the caller must roll back.
    """
    using = READ_MODEL_ALIAS if one_database() else DEFAULT_DB_ALIAS
    with transaction.atomic(using=using):
        told = append_system(connections[using], action=action, category=Category.ADMIN, data=data, reason=reason)
        if told is None:
            raise NotAudited
