"""What the tests of completeness share: running a command and reading its report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from auditlog.frames import frames_scope

# (exit code, report)
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def no_frames() -> Iterator[None]:
    """Begin without what other tests left open, as a request does."""
    with frames_scope():
        yield


@pytest.fixture
def run() -> Run:
    """Run a command with --json, and return its exit code and report."""

    def run_command(*arguments: str) -> tuple[int, dict[str, Any]]:
        out, code = StringIO(), 0
        try:
            call_command(*arguments, "--json", stdout=out)
        except CommandError as exc:
            code = exc.returncode
        except SystemExit as exc:
            code = int(exc.code or 0)
        report: dict[str, Any] = json.loads(out.getvalue())
        return code, report

    return run_command
