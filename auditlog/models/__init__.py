"""The tables of the audit domain: the outbox beside the audited data, the read model, API keys."""

from auditlog.models.access import AccessGrant, ApiKey
from auditlog.models.outbox import LedgerBeginning, OutboxEvent, OutboxLedger
from auditlog.models.read_model import AuditLog, ConsumerOffset, ContentChunk, EventShape, LateEvent
from auditlog.models.rollups import Rollup, RollupBacklog

__all__ = [
    "AccessGrant",
    "ApiKey",
    "AuditLog",
    "ConsumerOffset",
    "ContentChunk",
    "EventShape",
    "LateEvent",
    "LedgerBeginning",
    "OutboxEvent",
    "OutboxLedger",
    "Rollup",
    "RollupBacklog",
]
