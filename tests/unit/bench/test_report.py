"""Tables for people, figures for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from bench.__main__ import plain
from bench.report import Report, Table, show, write
from bench.timing import Spread


def test_a_report_shows_its_tables_whole() -> None:
    table = Table("Write overhead", ("operation", "µs"), [("create", "1,234"), ("delete", "56")], note="Medians.")
    console = Console(file=io.StringIO(), width=60)
    show(console, Report((table,)))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines[0] == "Write overhead"
    assert lines[4:6] == ["│ create    │ 1,234 │", "│ delete    │    56 │"]
    assert lines[-1] == "Medians."


def test_figures_become_json_with_their_machine(tmp_path: Path) -> None:
    figures = plain({"create": {"ratio": Spread(1.23456, 1.0, 2.0), "rows": 1}})
    write(tmp_path / "results" / "one.json", machine={"cores": 2}, figures=figures)
    assert json.loads((tmp_path / "results" / "one.json").read_text(encoding="utf-8")) == {
        "machine": {"cores": 2},
        "measurements": {"create": {"ratio": {"median": 1.2346, "low": 1.0, "high": 2.0}, "rows": 1}},
    }
