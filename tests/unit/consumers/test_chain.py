"""Two events of an object fit, or there is a reason why not, or nobody knows one."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest

from consumers.reasons import GapKind
from consumers.reconciliation.chain import Pair, judge
from tests.unit.consumers.builders import NOW, uuid7

TEXT = json.dumps("x" * 100)
REFERENCE = {"$ref": hashlib.sha256(TEXT.encode()).hexdigest(), "bytes": len(TEXT)}
LATER = NOW + timedelta(hours=1)


def pair(known: dict[str, Any] | None, found: dict[str, Any] | None, **members: Any) -> Pair:
    """Return two updates of a doctor."""
    values: dict[str, Any] = {
        "model": "doctors.doctor",
        "object_pk": "17",
        "previous_id": uuid7(NOW),
        "event_id": uuid7(LATER),
        "previous_at": NOW,
        "at": LATER,
        "previous_action": "update",
        "action": "update",
        "previous_version": "doctors.doctor:1",
        "version": "doctors.doctor:1",
        "known": None if known is None else json.dumps(known),
        "found": None if found is None else json.dumps(found),
        "is_adopted": False,
        "is_disabled": False,
        **members,
    }
    return Pair(**values)


def kind(*images: dict[str, Any] | None, key_made_at: Any = None, **members: Any) -> GapKind | None:
    """Return the kind of the gap between two events."""
    gap = judge(pair(*images, **members), key_made_at=key_made_at)
    return None if gap is None else gap.kind


def test_events_whose_images_agree_fit() -> None:
    assert kind({"id": 17, "fee": "1.50"}, {"fee": "1.50", "id": 17}) is None


def test_columns_of_one_image_alone_are_not_compared() -> None:
    assert kind({"id": 17, "old": 1}, {"id": 17, "new": 2}, version="doctors.doctor:2") is None


def test_a_difference_that_nothing_explains_is_an_alarm_with_its_columns() -> None:
    gap = judge(pair({"id": 17, "fee": "1.50", "name": "a"}, {"id": 17, "fee": "1.5", "name": "b"}), key_made_at=None)
    assert gap is not None
    assert (gap.kind, gap.columns) == (GapKind.UNEXPLAINED, ("fee", "name"))
    assert "doctors.doctor 17" in str(gap)
    assert "1.5" not in str(gap)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"is_disabled": True}, GapKind.AUDITING_DISABLED),
        ({"is_adopted": True}, GapKind.BYPASS),
        ({"version": "doctors.doctor:2"}, GapKind.REGISTRATION),
    ],
)
def test_a_gap_has_the_label_of_what_explains_it(members: dict[str, Any], expected: GapKind) -> None:
    assert kind({"fee": 1}, {"fee": 2}, **members) is expected


@pytest.mark.parametrize(
    ("previous", "action", "expected"),
    [
        ("delete", "create", None),
        ("delete", "update", GapKind.UNEXPLAINED),
        ("delete", "delete", GapKind.UNEXPLAINED),
        ("delete", "snapshot", GapKind.UNEXPLAINED),
        ("update", "create", GapKind.UNEXPLAINED),
        ("create", "delete", None),
    ],
)
def test_what_was_deleted_is_not_there_and_what_was_not_is(
    previous: str, action: str, expected: GapKind | None
) -> None:
    image = {"id": 17}
    known = None if previous == "delete" else image
    found = None if action == "create" else image
    assert kind(known, found, previous_action=previous, action=action) is expected


def test_hashes_of_another_key_are_no_alarm_and_those_of_one_key_are() -> None:
    images = {"tax_id": "hmac:aa"}, {"tax_id": "hmac:bb"}
    assert kind(*images, key_made_at=NOW + timedelta(minutes=30)) is GapKind.MASK_KEY
    assert kind(*images, key_made_at=NOW - timedelta(minutes=30)) is GapKind.UNEXPLAINED
    other = {**images[0], "fee": 1}, {**images[1], "fee": 2}
    assert kind(*other, key_made_at=NOW + timedelta(minutes=30)) is GapKind.UNEXPLAINED


def test_a_reference_fits_the_value_that_it_stands_for() -> None:
    assert kind({"body": REFERENCE}, {"body": json.loads(TEXT)}) is None
    assert kind({"body": json.loads(TEXT)}, {"body": REFERENCE}) is None
    assert kind({"body": "y"}, {"body": REFERENCE}) is GapKind.UNEXPLAINED
    assert kind({"body": {"a": 1}}, {"body": REFERENCE}) is GapKind.LARGE_VALUE
    assert kind({"body": REFERENCE}, {"body": {**REFERENCE, "bytes": 1}}) is GapKind.UNEXPLAINED
