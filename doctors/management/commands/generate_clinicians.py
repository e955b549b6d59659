"""`manage.py generate_clinicians FILE`."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from doctors.clinicians.generator import MOST_ROWS, write_file


class Command(BaseCommand):
    """See `help`."""

    help = (
        'Write a CSV file in the format of the "Doctors and Clinicians" file of the US CMS, with the dirt of the '
        "published one, about people who do not exist. The same seed gives the same file."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, help="the file to write; replaced if it exists")
        parser.add_argument("--rows", type=int, default=600, help="number of rows (default: 600)")
        parser.add_argument("--seed", type=int, default=7, help="which file to make (default: 7)")

    def handle(self, *_args: Any, file: Path, rows: int, seed: int, **_options: Any) -> None:
        """Write the file."""
        if not 1 <= rows <= MOST_ROWS:
            raise CommandError(f"--rows must be from 1 to {MOST_ROWS}.")
        try:
            write_file(file, rows=rows, seed=seed)
        except OSError as exc:
            raise CommandError(f"{file} cannot be written: {exc.strerror}.") from exc
        self.stdout.write(f"{rows} rows written to {file}")
