"""The audit API can be measured: every kind of question is asked and answered, while events go on being stored."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.questions import QUESTIONS
from tests.integration.bench.test_counts import ROOT, command, environment

DEADLINE_SECONDS = 540

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """What a small run measured."""
    with tempfile.TemporaryDirectory(prefix="auditlog-tests-bench-") as name:
        Path(name).chmod(0o755)
        written = Path(name) / "figures.json"
        done = subprocess.run(
            command("--quick", "--only", "api", "--json", str(written)),
            cwd=ROOT,
            env=environment(Path(name)),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(written.read_bytes())["measurements"]["api"]


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
