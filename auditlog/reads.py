"""
The audit of the audit: whoever asks the audit log leaves an event on the system stream before anything is shown.

No setting switches it off, and `disable_auditlog` has no say here. What cannot be recorded must not be shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DEFAULT_DB_ALIAS, Error, connections

from auditlog import context, metrics
from auditlog.access.rights import PRINCIPAL_CHARACTERS
from auditlog.capture.messages import append_system
from auditlog.errors import AuditlogError
from auditlog.text import clean, encode
from auditlog.vocabulary import Action, Category

log = structlog.get_logger(__name__)

# What calls of the audit log are called.
ACTIONS = (Action.AUDIT_LOG_READ, Action.AUDIT_LOG_EXPORTED, Action.AUDIT_LOG_REFUSED)
# Bytes of the JSON text of what was asked, beyond which its beginning and a digest are kept.
ASKED_BYTES = 4_000
PATH_CHARACTERS = 512
FIRST_ERROR = 400
# Answers that tell of somebody who tries what is not his.
SUSPECT_STATUSES = frozenset({403, 404})
SUSPECT_CODES = frozenset({"invalid_cursor"})


class Unrecorded(AuditlogError):
    """A call of the audit log could not be recorded: show nothing, and look at the domain's database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One call of the audit log, and how it was answered."""

    # The name of the resource or the command.
    operation: str
    # As the access rules name the caller; None: they did not get that far.
    principal: str | None
    path: str
    method: str = ""
    # What was asked for, without a value that the caller may not see.
    asked: Any = None
    # How many events the answer shows; None: it shows none.
    rows: int | None = None
    # As in HTTP.
    status: int = 200
    # Of the problem, where it was refused.
    code: str | None = None
    reason: str = ""
    exported: bool = False

    @property
    def action(self) -> Action:
        """What it was."""
        if self.status >= FIRST_ERROR:
            return Action.AUDIT_LOG_REFUSED
        return Action.AUDIT_LOG_EXPORTED if self.exported else Action.AUDIT_LOG_READ

    @property
    def category(self) -> Category:
        """Security where somebody tried what is not his."""
        suspect = self.status in SUSPECT_STATUSES or self.code in SUSPECT_CODES
        return Category.SECURITY if suspect else Category.READ

    def data(self) -> dict[str, Any]:
        """Return `audit.data` of the event."""
        return {
            "operation": self.operation,
            "principal": self.principal and clean(self.principal, limit=PRINCIPAL_CHARACTERS),
            "method": self.method,
            "path": clean(self.path, limit=PATH_CHARACTERS),
            "asked": bounded(self.asked),
            "rows": self.rows,
            "status": self.status,
            "code": self.code,
        }


def record(read: Read) -> None:
    """
    Put the event of a call into the outbox: one statement on the default database, and no broker.

    Call it before the answer leaves, outside of a transaction that may roll back.

    :raises Unrecorded: if there is no such event afterwards.
    """
    put(
        action=read.action,
        category=read.category,
        data=read.data(),
        reason=read.reason,
        operation=read.operation,
        key=read.principal,
    )
    metrics.READS.labels(read.action).inc()


def put(
    *, action: Action, category: Category, data: Mapping[str, Any], reason: str, operation: str, key: str | None = None
) -> None:
    """
    Put an event of the audit log itself into the outbox.

    :raises Unrecorded: if there is no such event afterwards.
    """
    try:
        event_id = append_system(
            connections[DEFAULT_DB_ALIAS],
            action=action,
            category=category,
            data=data,
            reason=reason,
            text=operation,
            key=key and clean(key, limit=PRINCIPAL_CHARACTERS),
        )
    except Error as exc:
        raise _unrecorded(operation, type(exc).__name__) from exc
    if event_id is None:
        raise _unrecorded(operation, "not_installed")


def clean_reason(given: str) -> str:
    """Return a reason as one line of printable text, cut to what an event holds."""
    printable = "".join(character if character.isprintable() else " " for character in given)
    return clean(" ".join(printable.split()), limit=context.REASON_CHARACTERS)


def bounded(asked: Any) -> Any:
    """Return what was asked, or where that is too large, its beginning with a digest of all of it."""
    text = encode(asked).encode()
    if len(text) <= ASKED_BYTES:
        return asked
    beginning = text[: ASKED_BYTES // 2].decode(errors="ignore")
    return {"beginning": beginning, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}


def _unrecorded(operation: str, error: str) -> Unrecorded:
    metrics.UNRECORDED_READS.inc()
    log.error("reads.unrecorded", operation=operation, error=error)
    return Unrecorded()
