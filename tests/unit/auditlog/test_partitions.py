"""How far ahead the audit log has partitions."""

from __future__ import annotations

from datetime import UTC, datetime

from auditlog.partitions import covered_until

NOW = datetime(2026, 11, 25, 20, 0, tzinfo=UTC)


def names(*months: str) -> list[str]:
    """Return the partitions of these months."""
    return [f"auditlog_auditlog_p{month}" for month in months]


def test_the_first_month_without_a_partition_is_where_it_ends() -> None:
    kept = names("202601", "202611", "202612", "202701")
    assert covered_until(kept, now=NOW) == datetime(2027, 2, 1, tzinfo=UTC)


def test_a_month_that_is_missing_in_between_ends_it_too() -> None:
    assert covered_until(names("202611", "202701", "202702"), now=NOW) == datetime(2026, 12, 1, tzinfo=UTC)


def test_without_the_current_month_it_has_ended_already() -> None:
    assert covered_until([], now=NOW) == covered_until(names("202612"), now=NOW) == datetime(2026, 11, 1, tzinfo=UTC)
