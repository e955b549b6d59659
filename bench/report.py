"""What a measurement hands back: figures for JSON, tables for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below column heads; the first column is a name, all others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one measurement."""

    tables: tuple[Table, ...]
    figures: dict[str, Any] = field(default_factory=dict)


def show(console: Console, report: Report) -> None:
    """Print the tables of a report."""
    for table in report.tables:
        console.print(_rich(table))


def write(path: Path, *, machine: dict[str, Any], figures: dict[str, Any]) -> None:
    """Write figures and what they were measured on as JSON; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine, "measurements": figures}, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=table.title, caption=table.note or None, title_justify="left", caption_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*row)
    return shown
