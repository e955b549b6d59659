"""Events as the contract's examples show them, for tests to bend."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings

from consumers.decode import Horizon
from consumers.records import Header, Partition, Record

# Property tests: machines under load are slow, which is no fault of the code.
LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 11, 23, 9, 5, 0, 123456, tzinfo=UTC)
HORIZON = Horizon(NOW - timedelta(days=1000), NOW + timedelta(days=100))
DOCTORS = Partition("audit.doctors.doctor", 0)
SEQUENCE = "00000001:00000000000000004711"


def uuid7(at: datetime) -> UUID:
    """Return a UUIDv7 of this time."""
    milliseconds = round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) // 1000
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | secrets.randbits(62))


def event(*, at: datetime = NOW, **audit: Any) -> dict[str, Any]:
    """Return the value of an update of a doctor; keywords replace members of `audit`."""
    microseconds = round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
    times = {"ts_ms": microseconds // 1000, "ts_us": microseconds}
    return {
        "before": {"id": 17, "email": "a@example.org", "tax_id": "***", "department_id": 3},
        "after": {"id": 17, "email": "b@example.org", "tax_id": "***", "department_id": 4},
        "op": "u",
        **times,
        "source": {
            "version": "1.0.0",
            "connector": "auditlog",
            "name": "audit",
            **times,
            "db": "clinic",
            "schema": "public",
            "table": "doctors_doctor",
            "txId": 774,
            "sequence": SEQUENCE,
            "snapshot": "false",
        },
        "transaction": None,
        "audit": {
            "event_id": str(uuid7(at)),
            "action": "update",
            "category": "write",
            "model": "doctors.doctor",
            "object_pk": "17",
            "object_repr": "Dr Ada Byron",
            "m2m": None,
            "data": None,
            "actor": {"id": "7", "repr": "m.okonkwo", "type": "user", "on_behalf_of": None},
            "context": {"remote_addr": "192.0.2.7", "request_id": "0f6e", "session": "sha256:ab", "method": "PATCH"},
            "reason": None,
            "masked": ["tax_id"],
            "masked_changed": [],
            "fields": {"department_id": "department"},
            "schema_version": "doctors.doctor:3f9c2a",
            **audit,
        },
    }


def record(
    value: dict[str, Any] | bytes | None,
    *,
    offset: int = 0,
    partition: Partition = DOCTORS,
    headers: Iterable[Header] = (),
) -> Record:
    """Return a record with this value."""
    data = json.dumps(value).encode() if isinstance(value, dict) else value
    return Record(partition, offset, b"17", data, tuple(headers))
