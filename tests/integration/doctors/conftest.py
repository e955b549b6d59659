"""Clinician files to import, and people who may use the API."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from doctors.clinicians.generator import write_file

ROWS = 60
Importer = Callable[..., dict[str, Any]]


@pytest.fixture
def clinician_file(tmp_path: Path) -> Path:
    """A generated file of sixty rows."""
    path = tmp_path / "clinicians.csv"
    write_file(path, rows=ROWS, seed=3)
    return path


@pytest.fixture
def import_file() -> Importer:
    """Run the command, and return its report."""

    def run(path: Path, *options: str) -> dict[str, Any]:
        output = io.StringIO()
        call_command("import_clinicians", str(path), "--json", *options, stdout=output)
        report: dict[str, Any] = json.loads(output.getvalue())
        return report

    return run


@pytest.fixture
def edit() -> Callable[[Path, Callable[[int, dict[str, str]], None]], None]:
    """Change the rows of a file in place: `change(number, record)`, numbers from 0."""

    def run(path: Path, change: Callable[[int, dict[str, str]], None]) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        names = [name.strip() for name in header]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for number, row in enumerate(rows):
                record = dict(zip(names, row, strict=True))
                change(number, record)
                writer.writerow(record.values())

    return run
