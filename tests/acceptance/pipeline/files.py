"""Clinician files to import."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.trees import ROOT

# The official sample, where it lies beside the checkout.
SAMPLE = ROOT.parent / "shared" / "data" / "cms_clinicians_sample.csv"


def with_other_phones(file: Path, *, to: Path) -> Path:
    """Write a copy of a file in which each row has a phone number that no row had, and return where it is."""
    with file.open(encoding="utf-8", newline="") as source, to.open("w", encoding="utf-8", newline="") as target:
        reader, writer = csv.reader(source), csv.writer(target, lineterminator="\n")
        header = next(reader)
        column = [name.strip() for name in header].index("phn_numbr")
        writer.writerow(header)
        for number, values in enumerate(reader):
            writer.writerow([*values[:column], new_phone(number), *values[column + 1 :]])
    return to


def new_phone(number: int) -> str:
    """Return the phone number of a row."""
    return f"646{number:07}"
