"""The fault suite's own account notices each kind of violation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.pipeline.books import Published
from tests.faults.account import Account, account
from tests.faults.truth import Change, Truth, truth

TOPIC = "faults.shop.item"
CREATED, UPDATED = Change("shop.item", "1", "create", "a"), Change("shop.item", "1", "update", "b")
TRUTH = Truth(committed=(CREATED, UPDATED))
IDS = ["e1", "e2"]


def value(event_id: str, sequence: int, change: Change) -> dict[str, Any]:
    """Return an event as it stands on the topic."""
    before = None if change.action == "create" else {"text": "a"}
    audit = {"event_id": event_id, "model": change.model, "object_pk": change.pk, "action": change.action, "m2m": None}
    source = {"sequence": f"00000001:{sequence:020d}"}
    return {"before": before, "after": {"text": change.token}, "op": change.action[0], "source": source, "audit": audit}


def record(event_id: str, sequence: int, change: Change, *, offset: int) -> Published:
    """Return a record of the topic."""
    return Published(TOPIC, 0, offset, change.pk, {"ce_id": event_id}, json.dumps(value(event_id, sequence, change)))


def stored(event_id: str, change: Change) -> dict[str, Any]:
    """Return a row of the log."""
    event = value(event_id, 1, change)
    parts = {name: event["audit"][name] for name in ("model", "object_pk", "action", "m2m")}
    return {"id": event_id, "before": event["before"], "after": event["after"], **parts}


ON_TOPIC = [record("e1", 1, CREATED, offset=0), record("e2", 2, UPDATED, offset=1)]
IN_LOG = [stored("e1", CREATED), stored("e2", UPDATED)]


def found(**other: Any) -> Account:
    """Return the account of a run in which all was well but for what is given."""
    sound: dict[str, Any] = {"truth": TRUTH, "committed": IDS, "published": ON_TOPIC, "stored": IN_LOG}
    return account(**{**sound, **other})


def test_a_sound_run_has_no_violation() -> None:
    assert found() == Account(2, (), (), (), 0, 0, 0)
    assert found().violations() == {}


@pytest.mark.parametrize(
    ("other", "violation"),
    [
        pytest.param({"published": ON_TOPIC[:1]}, "lost", id="not on the topics"),
        pytest.param({"stored": IN_LOG[:1]}, "lost", id="not in the log"),
        pytest.param({"truth": Truth((CREATED, UPDATED, CREATED._replace(pk="2")))}, "lost", id="without an event"),
        pytest.param({"committed": IDS[:1], "stored": IN_LOG[:1]}, "invented", id="published, never committed"),
        pytest.param({"committed": IDS[:1], "published": ON_TOPIC[:1]}, "invented", id="stored, never committed"),
        pytest.param({"truth": Truth((CREATED,))}, "invented", id="an event of what was rolled back"),
        pytest.param(
            {"published": [record("e2", 2, UPDATED, offset=0), record("e1", 1, CREATED, offset=1)]},
            "out of order",
            id="a lower sequence behind a higher one",
        ),
        pytest.param({"truth": Truth((UPDATED, CREATED))}, "out of order", id="sequences not as the writer wrote"),
        pytest.param(
            {"published": [*ON_TOPIC, ON_TOPIC[0]._replace(offset=2, value="{}")]},
            "duplicates that differ",
            id="a duplicate that says something else",
        ),
        pytest.param({"stored": [*IN_LOG, {**IN_LOG[1], "id": "e3"}], "committed": [*IDS, "e3"],
                      "published": [*ON_TOPIC, record("e3", 3, UPDATED, offset=2)]},
                     "duplicates in the log", id="a change that is stored twice"),
    ],
)  # fmt: skip
def test_a_violation_is_noticed(other: dict[str, Any], violation: str) -> None:
    assert violation in found(**other).violations()


def test_an_identical_duplicate_is_counted_and_is_no_violation() -> None:
    counted = found(published=[*ON_TOPIC, ON_TOPIC[0]._replace(offset=2)])
    assert counted == replace(found(), duplicates_on_topics=1)
    assert counted.violations() == {}


def test_a_counter_is_in_order_by_its_value_whoever_wrote() -> None:
    first, second = (Change("shop.counter", "1", "update", token) for token in ("9", "10"))

    def counted(event_id: str, sequence: int, change: Change) -> Published:
        event = value(event_id, sequence, change)
        event["after"] = {"value": int(change.token)}
        return Published(TOPIC, 0, sequence, "1", {"ce_id": event_id}, json.dumps(event))

    both = Truth((second, first))
    told = [{**stored(e, c), "after": {"value": int(c.token)}} for e, c in (("e1", first), ("e2", second))]
    right = found(truth=both, published=[counted("e1", 1, first), counted("e2", 2, second)], stored=told)
    assert right.violations() == {}
    wrong = found(truth=both, published=[counted("e2", 1, second), counted("e1", 2, first)], stored=told)
    assert list(wrong.violations()) == ["out of order"]


def test_marks_decide_what_committed_where_the_answer_got_lost(tmp_path: Path) -> None:
    file = tmp_path / "written-3"
    lines: list[dict[str, Any]] = [
        {"did": "intends", "number": 1, "changes": [CREATED]},
        {"did": "committed", "number": 1},
        {"did": "intends", "number": 2, "changes": [UPDATED]},
        {"did": "failed", "number": 2, "error": "AdminShutdown"},
        {"did": "intends", "number": 3, "changes": [UPDATED._replace(token="c")]},
        {"did": "rolled back", "number": 4},
        {"did": "intends", "number": 5, "changes": []},
        {"did": "committed", "number": 5},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert truth([file], marks=[(3, 1), (3, 2), (4, 3)]) == Truth(
        committed=(CREATED, UPDATED),
        undone=frozenset({UPDATED._replace(token="c")}),
        rolled_back=1,
        failed=1,
        vanished=1,
        errors=frozenset({"AdminShutdown"}),
    )
