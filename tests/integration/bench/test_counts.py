"""What capture takes in statements, round trips and WAL, on a server of the bench's own; no time is judged here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench import baseline
from tests.conftest import WaitUntil

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 240

pytestmark = pytest.mark.processes


def command(*arguments: str) -> list[str]:
    """Return the command of a run."""
    return [sys.executable, "-m", "bench", *arguments]


def environment(directory: Path) -> dict[str, str]:
    """Return an environment in which all temporary files are below a directory."""
    return {**os.environ, "TMPDIR": str(directory)}


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that PostgreSQL's own user can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="auditlog-tests-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def figures(directory: Path) -> dict[str, Any]:
    """What one run counted, in the writers and in the processes behind them."""
    written = directory / "figures.json"
    done = subprocess.run(
        command("--quick", "--only", "counts", "--only", "pipeline", "--only", "writes", "--json", str(written)),
        cwd=ROOT,
        env=environment(directory),
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(written.read_bytes())["measurements"]
    return found


@pytest.fixture(scope="module")
def counts(figures: dict[str, Any]) -> dict[str, Any]:
    """What each operation took."""
    found: dict[str, Any] = figures["counts"]
    return found


def test_every_operation_takes_what_the_baseline_says(counts: dict[str, Any]) -> None:
    assert baseline.deviations(counts, baseline.load()) == []


def test_no_captured_write_takes_a_statement_or_a_round_trip_more(counts: dict[str, Any]) -> None:
    # But for fast deletes, which Django gives up where anybody listens to deletions.
    extra = {
        operation: [found["auditlog"][figure] - found["no audit"][figure] for figure in ("statements", "round_trips")]
        for operation, found in counts.items()
    }
    assert {operation: more for operation, more in extra.items() if more != [0, 0]} == {
        "delete, no relations": [0, 2],
        "delete of 100 rows, no relations": [1, 1],
    }


def test_capture_writes_no_more_wal_than_a_hand_written_trigger(counts: dict[str, Any]) -> None:
    compared = {operation: found for operation, found in counts.items() if "trigger" in found}
    assert len(compared) == 7
    for operation, found in compared.items():
        assert found["auditlog"]["events"] == found["trigger"]["events"], operation
        assert found["auditlog"]["wal_bytes"] < found["trigger"]["wal_bytes"] * 1.05, operation


def test_relay_and_consumer_take_for_a_batch_and_an_event_what_was_agreed_to(figures: dict[str, Any]) -> None:
    assert figures["pipeline"].keys() == {"relay", "consumer"}
    for name, work in figures["pipeline"].items():
        assert work["events"] == 5_000
        # A batch on a slow machine may be small, but never one for each event.
        assert 0 < work["batches"] <= 500, name
        assert baseline.deviations_behind_the_write(name, work) == []


def test_other_libraries_take_turns_with_ours_in_every_operation(figures: dict[str, Any]) -> None:
    for mode in ("autocommit", "in a transaction"):
        assert len(figures["writes"][mode]) == 7
        for operation, found in figures["writes"][mode].items():
            # Made by `make test` and `make bench` in .venv-peers.
            assert found["peers"].keys() == {"django-auditlog", "pghistory"}, operation
            assert all(ratio["low"] > 0 for ratio in found["peers"].values())


@pytest.fixture
def children_hear_interrupts() -> Iterator[None]:
    """A shell may have started us with SIGINT ignored, which children inherit; what has a handler, they have not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("children_hear_interrupts")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_no_process_and_no_file(
    number: signal.Signals, directory: Path, tmp_path: Path, wait_until: WaitUntil
) -> None:
    temporary = directory / number.name
    temporary.mkdir()
    with subprocess.Popen(
        command("--only", "counts", "--json", str(tmp_path / "figures.json")),
        cwd=ROOT,
        env=environment(temporary),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        started = wait_until(lambda: [child for child in servers_below(temporary) if child.is_running()])
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == (130 if number is signal.SIGINT else 128 + number)
    assert not any(server.is_running() for server in started)
    assert list(temporary.iterdir()) == []


def servers_below(directory: Path) -> list[psutil.Process]:
    """Return the PostgreSQL servers whose data is in a directory."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words and Path(words[0]).name == "postgres" and any(word.startswith(str(directory)) for word in words):
            found.append(process)
    return found
