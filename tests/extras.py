"""
Programs that some tests need and a machine may lack.

Where one is missing its tests do not run and one line says so; with REQUIRE_EXTRAS set it is an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

NOT_RUN = pytest.StashKey[list[str]]()
REFUSAL = pytest.StashKey[str]()


def leave_out_without(
    programs: tuple[str, ...],
    *,
    tests: str,
    packages: str,
    needs: Callable[[pytest.Item], bool],
    config: pytest.Config,
    items: list[pytest.Item],
) -> None:
    """
    Take the tests that need the programs out of `items` where one of them is not installed.

    `tests` says what they test and `packages` where Debian has the programs.

    :raises pytest.UsageError: where nothing may be left out.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    ours = [item for item in items if needs(item)]
    if not missing or not ours:
        return
    text = f"{len(ours)} {tests}: install {' and '.join(missing)} (Debian: {packages})"
    if os.environ.get("REQUIRE_EXTRAS"):
        config.stash[REFUSAL] = f"REQUIRE_EXTRAS is set and cannot be kept for {text}."
        raise pytest.UsageError(config.stash[REFUSAL])
    items[:] = [item for item in items if item not in ours]
    config.hook.pytest_deselected(items=ours)
    config.stash.setdefault(NOT_RUN, []).append(f"NOT RUN: {text}.")


def report(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what did not run."""
    for line in config.stash.get(NOT_RUN, []):
        terminalreporter.write_line(line, yellow=True)


def fixtures_of(item: pytest.Item) -> tuple[str, ...]:
    """Return the names of the fixtures of a test."""
    return tuple(getattr(item, "fixturenames", ()))
