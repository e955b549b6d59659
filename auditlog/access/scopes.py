"""What a caller may do with the audit log; permissions, grants, API keys and bearer tokens carry these."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Scope(StrEnum):
    """One thing that a caller may do."""

    READ_OWN = "audit.read.own"  # see the events of one's own acts
    READ = "audit.read"  # see events
    READ_SENSITIVE = "audit.read.sensitive"  # see the values of restricted classes too
    ADMIN = "audit.admin"  # see what others asked the audit log
    EXPORT = "audit.export"  # take events away in bulk


# The permission of Django that gives a scope.
PERMISSIONS: Mapping[Scope, str] = {
    Scope.READ_OWN: "auditlog.read_own",
    Scope.READ: "auditlog.read",
    Scope.READ_SENSITIVE: "auditlog.read_sensitive",
    Scope.ADMIN: "auditlog.admin",
    Scope.EXPORT: "auditlog.export",
}
# The auditors' permission gives what it has always given: every event with every value.
AUDITOR_PERMISSION = "auditlog.view_auditlog"
AUDITOR_SCOPES = frozenset({Scope.READ, Scope.READ_SENSITIVE, Scope.EXPORT})


def common(one: frozenset[Scope], other: frozenset[Scope]) -> frozenset[Scope]:
    """Return what both sets allow; to read everything includes to read the own."""
    both = one & other
    if Scope.READ in both or not all({Scope.READ, Scope.READ_OWN} & scopes for scopes in (one, other)):
        return both
    return both | {Scope.READ_OWN}


def with_implied(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """Return the scopes together with what follows from them: to read everything includes to read the own."""
    return scopes | {Scope.READ_OWN} if Scope.READ in scopes else scopes
