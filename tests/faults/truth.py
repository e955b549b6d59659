"""What the writers say that they committed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Change(NamedTuple):
    """One change of one object; `token` tells it from every other change of the object."""

    model: str
    pk: str
    action: str
    token: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What must be in the log, and what must not."""

    # In the order in which one writer made them; changes of different writers have no order here.
    committed: tuple[Change, ...] = ()
    undone: frozenset[Change] = frozenset()
    # Transactions that were rolled back on purpose, that failed, and whose COMMIT was answered yet did not last.
    rolled_back: int = 0
    failed: int = 0
    vanished: int = 0
    # Errors of the database that writers met.
    errors: frozenset[str] = field(default=frozenset())


def truth(files: Iterable[Path], *, marks: Collection[tuple[int, int]]) -> Truth:
    """Return what the accounts in these files say; `marks` are the transactions that the database knows."""
    committed: list[Change] = []
    undone: set[Change] = set()
    counts = {"rolled back": 0, "failed": 0, "vanished": 0}
    errors: set[str] = set()
    known = set(marks)
    for file in files:
        writer = int(file.stem.rpartition("-")[2])
        intended, outcomes = _read(file)
        errors |= {line["error"] for line in outcomes.values() if "error" in line}
        for number, changes in intended.items():
            if (writer, number) in known:
                committed += changes
            else:
                undone |= set(changes)
        for number, line in outcomes.items():
            if line["did"] == "committed" and (writer, number) not in known:
                counts["vanished"] += 1
            elif line["did"] in counts:
                counts[line["did"]] += 1
    return Truth(
        tuple(committed),
        frozenset(undone),
        counts["rolled back"],
        counts["failed"],
        counts["vanished"],
        frozenset(errors),
    )


def _read(file: Path) -> tuple[dict[int, list[Change]], dict[int, dict[str, Any]]]:
    """Return what each transaction of a writer intended, and the last that was heard of it."""
    intended: dict[int, list[Change]] = {}
    outcomes: dict[int, dict[str, Any]] = {}
    for text in file.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if "number" not in line:
            continue
        if line["did"] == "intends":
            intended[line["number"]] = [Change(*change) for change in line["changes"]]
        outcomes[line["number"]] = line
    return intended, outcomes
