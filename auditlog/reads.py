"""
The audit of the audit: whoever asks the audit log leaves an event on the system stream before anything is shown.

No setting switches it off, and `disable_auditlog` has no say here. What cannot be recorded must not be shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import DEFAULT_DB_ALIAS, Error, connections

from auditlog import context, metrics
from auditlog.access.questions import ALTERNATIVES, names_somebody
from auditlog.access.rights import PRINCIPAL_CHARACTERS, restricted_classes
from auditlog.capture.messages import append_system
from auditlog.errors import AuditlogError
from auditlog.text import clean, encode
from auditlog.vocabulary import Action, Category

log = structlog.get_logger(__name__)

# What calls of the audit log are called.
ACTIONS = (Action.AUDIT_LOG_READ, Action.AUDIT_LOG_EXPORTED, Action.AUDIT_LOG_REFUSED)
# Bytes of the JSON text of what was asked, beyond which each long value in it is kept by its beginning and a digest.
ASKED_BYTES = 4_000
SHORT_BYTES, BEGINNING_BYTES = 100, 40
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
        classes=_classes(read.asked),
    )
    metrics.READS.labels(read.action).inc()


def put(
    *,
    action: Action,
    category: Category,
    data: Mapping[str, Any],
    reason: str,
    operation: str,
    key: str | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
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
            classes=classes,
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
    """
    Return what was asked; where that is large, each long value in it by its beginning and a digest.

    Every condition stays: nobody can hide what they ask for behind something long. What a question may hold is limited
    where it is read: see `queries.filters`.
    """
    return asked if len(encode(asked).encode()) <= ASKED_BYTES else _shortened(asked)


def _shortened(asked: Any) -> Any:
    if isinstance(asked, list | tuple):
        return [_shortened(inner) for inner in asked]
    if isinstance(asked, dict):
        return {
            name: list(map(_short, inner)) if name in ALTERNATIVES and isinstance(inner, list) else _shortened(inner)
            for name, inner in asked.items()
        }
    return _short(asked)


def _short(value: Any) -> Any:
    """Return a value, which may be any JSON, or its beginning where it is long."""
    text = encode(value).encode()
    if len(text) <= SHORT_BYTES:
        return value
    beginning = text[:BEGINNING_BYTES].decode(errors="ignore")
    return {"$shortened": beginning, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}


def _classes(asked: Any) -> dict[str, list[str]]:
    """Return what hides a question, and how much it found, from those from whom events hide whom they are about."""
    restricted = restricted_classes()
    return {min(restricted): ["asked", "rows"]} if restricted and names_somebody(asked) else {}


def _unrecorded(operation: str, error: str) -> Unrecorded:
    metrics.UNRECORDED_READS.inc()
    log.error("reads.unrecorded", operation=operation, error=error)
    return Unrecorded()
