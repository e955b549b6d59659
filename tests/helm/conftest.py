"""
promtool (Debian: prometheus), which runs the alerts on made-up series.

Where it is not installed its tests do not run and one line says so; with REQUIRE_EXTRAS set it is an error.
"""

from __future__ import annotations

import os
import shutil

import pytest

from tests.helm.image import Image, build

PROMTOOL = "promtool"
NOT_RUN = pytest.StashKey[str]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of promtool out where there is none."""
    ours = [item for item in items if PROMTOOL in getattr(item, "fixturenames", ())]
    if not ours or shutil.which(PROMTOOL):
        return
    text = f"{len(ours)} tests of the alerts: install {PROMTOOL} (Debian: prometheus)"
    if os.environ.get("REQUIRE_EXTRAS"):
        raise pytest.UsageError(f"REQUIRE_EXTRAS is set and cannot be kept for {text}.")
    items[:] = [item for item in items if item not in ours]
    config.hook.pytest_deselected(items=ours)
    config.stash[NOT_RUN] = f"NOT RUN: {text}."


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what did not run."""
    if line := config.stash.get(NOT_RUN, ""):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture
def promtool() -> str:
    """The program."""
    return PROMTOOL


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The files of the container image."""
    return build(tmp_path_factory.mktemp("image"))
