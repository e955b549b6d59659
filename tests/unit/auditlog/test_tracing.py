"""Trace contexts are read strictly, and without OpenTelemetry where nobody asked for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from auditlog import tracing

ROOT = Path(__file__).resolve().parents[3]
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED, UNSAMPLED = f"00-{TRACE}-b7ad6b7169203331-01", f"00-{TRACE}-b7ad6b7169203331-00"
# What the three roles import, on a machine without the extra.
LOADED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import settings.wsgi
import consumers.management.commands.run_consumer, publishers.management.commands.run_relay
settings.wsgi.application.load_middleware()
print("auditlog.tracing" in sys.modules, "auditlog.spans" in sys.modules)
"""


@pytest.mark.parametrize(
    "given",
    ["", "00", f"01-{TRACE}-b7ad6b7169203331-01", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{TRACE}-{'0' * 16}-01",
     SAMPLED.upper(), f"{SAMPLED}\n", f"{SAMPLED}-more"],
)  # fmt: skip
def test_what_is_no_trace_context_is_none(given: str) -> None:
    assert tracing.valid(given) is None


def test_a_trace_context_says_its_trace_and_whether_it_is_sampled() -> None:
    assert tracing.valid(SAMPLED) == SAMPLED
    assert [tracing.trace_id(each) for each in (SAMPLED, UNSAMPLED, None)] == [TRACE, TRACE, None]
    assert [tracing.is_sampled(each) for each in (SAMPLED, UNSAMPLED, f"{SAMPLED[:-2]}03", None)] == [
        True,
        False,
        True,
        False,
    ]


def test_a_line_about_many_events_names_each_trace_once_and_not_too_many() -> None:
    others = [f"00-{number:032x}-b7ad6b7169203331-00" for number in range(1, 100)]
    assert tracing.trace_ids([None, SAMPLED, UNSAMPLED, None]) == {"trace_ids": [TRACE]}
    assert tracing.trace_ids([SAMPLED, *others])["trace_ids"] == [TRACE, *(other[3:35] for other in others[:19])]
    assert tracing.trace_ids([None]) == {}


def test_every_role_starts_without_the_extra_where_tracing_is_off() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings.local", "AUDITLOG_TRACING": ""}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("True False", 0), done.stderr
