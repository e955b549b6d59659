"""The quick ones of the fault scenarios, on one broker; `make faults` runs all of them on three."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.scenario import SCENARIOS, play
from tests.faults.servers import Servers

__all__ = ["scenarios"]
# Of the load of those that have a large one.
SCALE = 0.005
# Each wait has its own limit; this is the sum of many.
LIMIT_SECONDS = 300
pytestmark = [pytest.mark.processes, pytest.mark.timeout(LIMIT_SECONDS)]

QUICK = [scenario for scenario in SCENARIOS.values() if scenario.quick]


@pytest.mark.parametrize("number", [scenario.number for scenario in QUICK])
def test_i4_i5_i6_a_fault_loses_nothing_disorders_nothing_and_stores_nothing_twice(
    number: int, servers: Servers, tmp_path: Path
) -> None:
    outcome = play(SCENARIOS[number], servers, folder=tmp_path, scale=SCALE)
    assert outcome.account.violations() == {}
    assert outcome.account.events > 0
