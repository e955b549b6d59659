"""
Imports a file: batches of rows, each committed by itself, through outages of the database and until told to stop.

The first row about a person, an address or a hospital says what that is. What a batch committed stays, so that a run
can be broken off and repeated at any time.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import structlog
from django.db import IntegrityError, InterfaceError, OperationalError, connection

from doctors.clinicians.batch import Batch, Outcome, write
from doctors.clinicians.report import ImportReport
from doctors.clinicians.rows import Clinician, Rejected, Row

log = structlog.get_logger(__name__)

BATCH_ROWS = 300
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 5.0
# A batch that collides this often does so for another reason than a concurrent import.
MOST_COLLISIONS = 5
KEY_BYTES = 16


class DatabaseUnavailable(Exception):
    """The database stayed away for longer than the import was told to wait; what is committed stays."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to put up with an absent database, and whom to tell."""

    limit_seconds: float = 300.0
    tell: Callable[[str], None] = lambda _message: None


@dataclass(slots=True)
class _Seen:
    """Persons and addresses of earlier rows; about 200 MB for the 2.5 million rows of the whole nation."""

    npis: set[int] = field(default_factory=set)
    addresses: set[bytes] = field(default_factory=set)
    named_hospitals: set[str] = field(default_factory=set)


def import_rows(
    rows: Iterable[Row | Rejected],
    *,
    stop: threading.Event,
    waiting: Waiting,
    batch_rows: int = BATCH_ROWS,
    progress: Callable[[ImportReport], None] = lambda _report: None,
) -> ImportReport:
    """
    Import the rows, and return what was done.

    Looks at `stop` between batches, and while it waits for the database; the report says how far the import came.

    :raises DatabaseUnavailable: with the report of what is committed in `args[1]`.
    """
    report, seen = ImportReport(), _Seen()
    for chunk in _chunks(rows, batch_rows):
        if stop.is_set():
            return report
        batch, duplicates = _prepare(chunk, seen)
        try:
            outcome = _written(batch, stop=stop, waiting=waiting)
        except DatabaseUnavailable as exc:
            raise DatabaseUnavailable(str(exc), report) from exc
        if outcome is None:
            return report
        _account(report, chunk, outcome, duplicates)
        progress(report)
    report.complete = True
    return report


def _chunks(rows: Iterable[Row | Rejected], size: int) -> Iterator[list[Row | Rejected]]:
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _prepare(chunk: Iterable[Row | Rejected], seen: _Seen) -> tuple[Batch, int]:
    clinicians: dict[str, Clinician] = {}
    locations: dict[tuple[str, str], Row] = {}
    hospitals: dict[str, str] = {}
    duplicates = 0
    for row in chunk:
        if isinstance(row, Rejected):
            continue
        npi = row.clinician.npi
        address = blake2b(f"{npi} {row.adrs_id}".encode(), digest_size=KEY_BYTES).digest()
        if int(npi) not in seen.npis:
            seen.npis.add(int(npi))
            clinicians[npi] = row.clinician
            _name_hospitals(row.clinician, hospitals, seen)
        if address in seen.addresses:
            duplicates += 1
            continue
        seen.addresses.add(address)
        locations[npi, row.adrs_id] = row
    return Batch(clinicians, locations, hospitals), duplicates


def _name_hospitals(clinician: Clinician, hospitals: dict[str, str], seen: _Seen) -> None:
    """Rows of one file may spell a hospital differently: taking each would rename it back and forth."""
    for hospital in clinician.hospitals:
        hospitals.setdefault(hospital.code, "")
        if hospital.name and hospital.code not in seen.named_hospitals:
            seen.named_hospitals.add(hospital.code)
            hospitals[hospital.code] = hospital.name


def _written(batch: Batch, *, stop: threading.Event, waiting: Waiting) -> Outcome | None:
    """Return what the batch did once it is committed; None if told to stop while the database was away."""
    waited, collisions = 0.0, 0
    for attempt in itertools.count():
        try:
            return write(batch)
        except IntegrityError:
            # Another import made the same row between our look-up and our insert.
            collisions += 1
            if collisions > MOST_COLLISIONS:
                raise
        except (OperationalError, InterfaceError) as exc:
            pause = min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS)
            if waited + pause > waiting.limit_seconds:
                raise DatabaseUnavailable(
                    f"The database did not come back within {waiting.limit_seconds:g} s."
                ) from exc
            log.debug("import.database_unavailable", error=type(exc).__name__, retry_in_seconds=pause)
            waiting.tell(f"The database is not available ({type(exc).__name__}); next try in {pause:g} s.")
            connection.close()
            if stop.wait(pause):
                return None
            waited += pause
    return None


def _account(report: ImportReport, chunk: list[Row | Rejected], outcome: Outcome, duplicates: int) -> None:
    report.rows += len(chunk)
    report.doctors.add(outcome.doctors)
    report.locations.add(outcome.locations)
    report.duplicates += duplicates
    report.refused_assignments += outcome.refused_assignments
    report.rejected.extend(row for row in chunk if isinstance(row, Rejected))
    report.last_line = chunk[-1].line
