"""The committed baseline: what each operation took when somebody last agreed to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("baseline.json")
# The hand-written trigger is a reference, not a promise.
CANDIDATES = ("no audit", "auditlog")
EXACT = ("statements", "round_trips", "events")
# Widths of keys and splits of index pages move the WAL a little.
WAL_TOLERANCE = 0.1
# Of relay and consumer: statements for a batch, beyond those of starting and looking around, and WAL bytes for an
# event, within a quarter, as batches differ in size.
BEHIND_THE_WRITE = {"relay": (4, 102), "consumer": (14, 3_384)}
STATEMENTS_ASIDE = 60
BATCH_TOLERANCE = 0.25

Counts = Mapping[str, Mapping[str, Mapping[str, float]]]


def load(path: Path = PATH) -> dict[str, Any]:
    """Return operation -> candidate -> figures."""
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def save(counts: Counts, path: Path = PATH) -> None:
    """Agree to what was counted."""
    kept = {
        operation: {name: {figure: found[name][figure] for figure in (*EXACT, "wal_bytes")} for name in CANDIDATES}
        for operation, found in counts.items()
    }
    path.write_text(f"{json.dumps(kept, indent=2)}\n", encoding="utf-8")


def deviations(counts: Counts, agreed: Counts) -> list[str]:
    """Return a line for each figure that is not what was agreed to; better is a deviation as well."""
    lines = [f"{operation}: counted, but not in the baseline" for operation in sorted(counts.keys() - agreed.keys())]
    for operation, candidates in agreed.items():
        if operation not in counts:
            lines.append(f"{operation}: in the baseline, but not counted")
            continue
        for name, figures in candidates.items():
            found = counts[operation][name]
            lines += [f"{operation}, {name}: {line}" for line in _differences(found, figures)]
    return lines


def deviations_behind_the_write(name: str, work: Mapping[str, float]) -> list[str]:
    """Return a line for each figure of a process that is more than what was agreed to, or of its WAL that is less."""
    statements, wal_bytes = BEHIND_THE_WRITE[name]
    lines, written = [], work["wal_bytes"] / work["events"]
    if work["statements"] > STATEMENTS_ASIDE + statements * work["batches"]:
        lines.append(
            f"{name}: {work['statements']} statements, {work['batches']} batches, agreed {statements} for each"
        )
    if abs(written - wal_bytes) > wal_bytes * BATCH_TOLERANCE:
        lines.append(f"{name}: {written:,.0f} WAL bytes an event, agreed {wal_bytes:,}")
    return lines


def _differences(found: Mapping[str, float], agreed: Mapping[str, float]) -> Iterator[str]:
    for figure in EXACT:
        if found[figure] != agreed[figure]:
            yield f"{figure} {found[figure]:g}, agreed {agreed[figure]:g}"
    wal, expected = found["wal_bytes"], agreed["wal_bytes"]
    if abs(wal - expected) > expected * WAL_TOLERANCE:
        yield f"WAL bytes {wal:,.0f}, agreed {expected:,.0f} within {WAL_TOLERANCE:.0%}"
