"""What the commands over registered tables share: which models, batches, stopping, a progress bar."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, connections
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from auditlog.completeness.tables import NotInstalled, Table, UnknownModel, chosen_models

BATCH_ROWS = 1_000


def add_table_arguments(parser: CommandParser, *, position: str) -> None:
    """Declare the options of a command that reads registered tables in batches."""
    parser.add_argument("models", nargs="*", metavar="app.Model", help="registered models; default: all")
    parser.add_argument("--database", metavar="ALIAS", help="the database; default: the one that writes go to")
    parser.add_argument("--after", metavar=position, help="go on with the first model after this place, as was printed")
    parser.add_argument(
        "--batch-rows", type=positive, default=BATCH_ROWS, help=f"rows of a batch (default: {BATCH_ROWS})"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON report")


def chosen_tables(labels: list[str], *, after: str | None, using: str | None) -> list[Table]:
    """
    Return the tables that the command line asks for.

    :raises CommandError: for names that are no registered models, and for a place without a first model.
    """
    if after is not None and not labels:
        raise CommandError("--after needs the models that are left, as the interrupted run has printed them.")
    if using is not None and using not in connections:
        raise CommandError(f"There is no database {using!r}.")
    try:
        tables = [Table.of(model, using=using) for model in chosen_models(labels)]
    except (UnknownModel, NotInstalled) as exc:
        raise CommandError(str(exc)) from exc
    except DatabaseError as exc:
        raise CommandError(f"The database does not answer: {exc}") from exc
    return tables


class Bar:
    """A progress bar on a terminal, for one table after the other; silent elsewhere."""

    def __init__(self, progress: Progress, verb: str) -> None:
        self._progress = progress
        self._verb = verb
        self._task: TaskID | None = None

    def begin(self, label: str, *, total: int | None) -> None:
        """Go on to the next table."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"{self._verb} {label}", total=total, rows=0)

    def update(self, rows: int) -> None:
        """Show how many rows of the table are done."""
        if self._task is not None:
            self._progress.update(self._task, completed=rows, rows=rows)


@contextmanager
def progress_bar(verb: str) -> Iterator[Bar]:
    """Show a bar on standard error while a command works."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        yield Bar(progress, verb)


def positive(text: str) -> int:
    """Parse a number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text!r} is no number of at least 1")
    return value


@dataclass(slots=True)
class Left:
    """What an interrupted run has yet to do."""

    labels: list[str]
    # Where in the first of them; None: at its beginning.
    position: str | None

    def command_line(self, command: str, **options: Any) -> str | None:
        """Return the command that does it, with these options where they were given; None where nothing is left."""
        given = {**options, "after": self.position}
        words = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
        return shlex.join(["manage.py", command, *self.labels, *words]) if self.labels else None
