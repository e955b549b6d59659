"""Tracing is off unless it is asked for, and refused where it cannot be had."""

from __future__ import annotations

import pytest

from settings.env import Environment
from settings.tracing import is_wanted

ABSENT = "a-package-that-nobody-installs"


def test_tracing_is_off_by_default_and_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDITLOG_TRACING", raising=False)
    env = Environment()
    assert (is_wanted(env, package=ABSENT), env.problems) == (False, {})


def test_tracing_without_its_extra_stops_a_process_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITLOG_TRACING", "true")
    env = Environment()
    is_wanted(env, package=ABSENT)
    assert env.problems == {"AUDITLOG_TRACING": f"needs the extra `otel`: {ABSENT} is not installed"}
    assert is_wanted(installed := Environment())
    assert installed.problems == {}
