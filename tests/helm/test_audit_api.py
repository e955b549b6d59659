"""What the chart tells the audit API: how much may be asked, and who sees what."""

from __future__ import annotations

import json

from auditlog.vocabulary import FieldClass
from tests.helm.rendering import CHART, Manifest, changed, render, rendered

TOLD = {
    "AUDITLOG_CURSOR_SECONDS": "86400", "AUDITLOG_QUERY_TIMEOUT_SECONDS": "5", "AUDITLOG_RATE_LIMIT_SECONDS": "60",
    "AUDITLOG_RATE_LIMIT_TOKENS": "10", "AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS": "60", "AUDITLOG_DEMAND_REASON": "true",
    "AUDITLOG_RESTRICTED_CLASSES": "health,credential",
}  # fmt: skip


def values_schema(*path: str) -> Manifest:
    """Return the schema of a value."""
    found: Manifest = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    for key in path:
        found = found["properties"][key]
    return found


def test_the_api_alone_is_told_how_much_may_be_asked_and_who_sees_what() -> None:
    values = {
        "auditApi": {"rateLimit": {"tokens": 10}, "demandReason": True, "restrictedClasses": ["health", "credential"]}
    }
    shown = render(changed("smallest", values))
    wanted = {name: value for name, value in shown.environment("Deployment", "api").items() if name in TOLD}
    assert wanted == TOLD
    assert not shown.environment("Deployment", "relay").keys() & TOLD.keys()
    classes = values_schema("auditApi", "restrictedClasses")["items"]["enum"]
    assert classes == list(FieldClass)
    assert "no cache" in shown.notes
    assert "no cache" not in rendered("production").notes
