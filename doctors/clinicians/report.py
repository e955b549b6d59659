"""What an import did, row by row and in sum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from doctors.clinicians.rows import Rejected


@dataclass(slots=True)
class Tally:
    """How many rows of one table a batch or an import created, changed, and left alone."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def add(self, other: Tally) -> None:
        """Add the figures of a batch that is committed."""
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged

    def members(self) -> dict[str, int]:
        """Return the figures by name."""
        return {"created": self.created, "updated": self.updated, "unchanged": self.unchanged}


@dataclass(slots=True)
class ImportReport:
    """The sum of the committed batches."""

    rows: int = 0
    doctors: Tally = field(default_factory=Tally)
    locations: Tally = field(default_factory=Tally)
    # Rows about an address that an earlier row of the file had described already.
    duplicates: int = 0
    # Assignments to hospitals that are inactive here, which were not made.
    refused_assignments: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    # The last line that is committed or rejected.
    last_line: int = 1
    complete: bool = False

    def members(self, *, seconds: float) -> dict[str, Any]:
        """Return the report as `import_clinicians --json` prints it."""
        return {
            "rows": self.rows,
            "doctors": self.doctors.members(),
            "locations": self.locations.members(),
            "duplicates": self.duplicates,
            "refused_assignments": self.refused_assignments,
            "rejected": [{"line": row.line, "reason": row.reason} for row in self.rejected],
            "complete": self.complete,
            "last_line": self.last_line,
            "seconds": round(seconds, 3),
        }
