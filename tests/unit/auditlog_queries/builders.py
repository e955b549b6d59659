"""Events, as short as tests want to write them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from auditlog.queries.memberships import Told
from auditlog.queries.provenance import Deed

BEGINNING = datetime(2026, 11, 1, tzinfo=UTC)


def deed(number: int, action: str = "update") -> Deed:
    """Return the event with this number, which is its minute too."""
    return Deed(
        event_id=uuid.UUID(int=number),
        sequence=f"00000001:{number:020}",
        occurred_at=BEGINNING + timedelta(minutes=number),
        action=action,
        actor=None,
        reason=None,
        request_id=None,
        transaction_id=None,
    )


def links(
    number: int,
    action: str,
    *,
    added: Sequence[str] = (),
    removed: Sequence[str] = (),
    through: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Told:
    """Return a membership event of the field `genres`."""
    m2m = {
        "field": "genres",
        "target_model": "samples.genre",
        "added": list(added),
        "removed": list(removed),
        "through": through,
        "labels": labels,
    }
    return Told(deed(number, action), m2m)
