"""Who may see what of the audit log."""

from __future__ import annotations

from settings.env import env

# Field classes whose values only callers with the scope audit.read.sensitive see.
AUDITLOG_RESTRICTED_CLASSES = env.words(
    "AUDITLOG_RESTRICTED_CLASSES", default=("sensitive", "health", "financial", "credential", "confidential")
)
