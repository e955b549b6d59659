"""The audit API can be measured: every kind of question is asked and answered, while events go on being stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bench.questions import QUESTIONS
from tests.integration.bench.measured import quickly

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """What a small run measured."""
    with quickly("api") as measured:
        yield measured


def test_every_question_is_answered(figures: dict[str, Any]) -> None:
    asked = {name: each["statuses"] for name, each in figures["asked"].items()}

    assert asked.keys() == figures["beside"].keys()
    assert asked.keys() == {question.name for question in QUESTIONS}
    assert figures["absent"] == []
    assert all(statuses.keys() == {"200"} for statuses in asked.values()), asked


def test_no_question_reads_much_of_the_log(figures: dict[str, Any]) -> None:
    for name, beside in figures["beside"].items():
        # The whole log has some 5,000 blocks.
        assert 0 < beside["blocks"] < 1_500, name


def test_events_are_stored_meanwhile(figures: dict[str, Any]) -> None:
    assert figures["stored_per_second"] > 0
    assert figures["rows"] > 20_000
