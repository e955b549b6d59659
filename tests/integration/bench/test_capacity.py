"""What the capacity guide rests on can be measured again, and its figures hang together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.bench.measured import quickly

RATES = ("100 events/s", "500 events/s")
LOOPS = {f"{name}, {how}" for name in ("relay", "consumer") for how in ("backlog", *RATES)}

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """What one quick run measured."""
    with quickly("capacity") as measured:
        yield measured


def test_each_process_is_measured_with_its_backends_and_its_memory(figures: dict[str, Any]) -> None:
    use = figures["use"]
    assert set(use) == LOOPS | {"API: a change", "API: a page of 50 events"}
    for name, each in use.items():
        assert each["process"] > 0, name
        assert each["backend"] > 0, name
        assert 40 < each["peak_mb"] < 1_000, name
    # The batches of a steady rate are small: what is done once for each of them weighs more.
    for name in ("relay", "consumer"):
        assert use[f"{name}, {RATES[0]}"]["process"] > use[f"{name}, backlog"]["process"]


def test_what_an_event_takes_on_the_disks_is_measured(figures: dict[str, Any]) -> None:
    size = figures["bytes_per_event"]
    rows, waiting = size["audit log: rows"], size["outbox, while it waits"]
    # Both hold the images of a row of 500 bytes: one of a create, two of an update.
    assert 750 < waiting < 10_000
    assert 750 < rows < 10_000
    # The event is written twice, into the outbox and into the audit log.
    assert size["write-ahead log, from the change to the audit log"] > waiting + rows
    # Compressed.
    assert 0 < size["topics, of each copy"] < waiting
    assert size["ledger"] < size["audit log: indexes"] < rows
