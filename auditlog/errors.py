"""What can go wrong in this package, one class for each fact."""

from __future__ import annotations


class AuditlogError(Exception):
    """Something in the audit domain is wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class RegistrationError(AuditlogError):
    """A model cannot be registered as asked; the message says what to change."""


class NotRegistered(AuditlogError):
    """The model is not registered with auditlog: register it before recording events about it."""


class UncapturedWrite(AuditlogError):
    """A write of a registered model would leave, or has left, no event."""
