"""Imports that are told to stop, or lose their database."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from doctors.clinicians.importer import DatabaseUnavailable, Waiting, import_rows
from doctors.clinicians.report import ImportReport
from doctors.clinicians.source import ClinicianFile
from doctors.models import Doctor, PracticeLocation
from tests.conftest import Events
from tests.integration.doctors.conftest import ROWS, Edit, Importer

pytestmark = pytest.mark.django_db(transaction=True)


def run(path: Path, progress: Callable[[ImportReport], None], **options: Any) -> ImportReport:
    with ClinicianFile(path) as source:
        return import_rows(
            source,
            stop=options.get("stop", threading.Event()),
            waiting=options.get("waiting", Waiting()),
            batch_rows=10,
            progress=progress,
        )


def own_pid() -> int:
    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


def test_a_stop_ends_the_import_after_the_batch_under_way(clinician_file: Path, import_file: Importer) -> None:
    stop = threading.Event()

    report = run(clinician_file, lambda report: stop.set() if report.rows >= 20 else None, stop=stop)

    assert (report.complete, report.rows, report.last_line) == (False, 20, 21)
    assert PracticeLocation.objects.count() == 20
    rest = import_file(clinician_file)
    assert rest["locations"] == {"created": ROWS - 20, "updated": 0, "unchanged": 20}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_committed_and_the_exit_code_says_so(
    clinician_file: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    plain = ClinicianFile.__iter__

    def interrupted(self: ClinicianFile) -> Any:
        for count, row in enumerate(plain(self)):
            if count == 15:
                os.kill(os.getpid(), number)
            yield row

    monkeypatch.setattr(ClinicianFile, "__iter__", interrupted)
    # A shell may have started us with SIGINT ignored.
    handler = signal.getsignal(signal.SIGINT)

    with pytest.raises(CommandError, match=r"up to line 11 is committed") as stopped:
        call_command("import_clinicians", str(clinician_file), "--batch-rows", "10")

    assert stopped.value.returncode == code
    assert PracticeLocation.objects.count() == 10
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_connection_that_is_lost_between_batches_costs_nothing(
    clinician_file: Path, owner_connection: psycopg.Connection[Any], kill: Callable[[int], None], events: Events
) -> None:
    told: list[str] = []

    def lose(report: ImportReport) -> None:
        if report.rows in {20, 40}:
            kill(own_pid())

    report = run(clinician_file, lose, waiting=Waiting(tell=told.append))

    assert report.complete
    assert (report.rows, report.locations.created) == (ROWS, ROWS)
    assert len(told) == 2
    created = [event for event in events() if event["audit"]["model"] == "doctors.practicelocation"]
    assert len(created) == ROWS


def test_a_database_that_stays_away_ends_the_import_with_what_is_committed(
    clinician_file: Path, kill: Callable[[int], None]
) -> None:
    with pytest.raises(DatabaseUnavailable, match="did not come back within 0 s") as given_up:
        run(clinician_file, lambda _report: kill(own_pid()), waiting=Waiting(limit_seconds=0))

    assert given_up.value.args[1].rows == 10
    connection.close()
    assert PracticeLocation.objects.count() == 10


def twice_at_once(path: Path) -> list[ImportReport]:
    reports: list[ImportReport] = []
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        try:
            reports.append(run(path, lambda _report: None))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reports


def test_two_imports_at_once_leave_each_row_and_each_change_once(
    clinician_file: Path, edit: Edit, events: Events
) -> None:
    first = twice_at_once(clinician_file)

    assert [report.complete for report in first] == [True, True]
    assert sum(report.locations.created for report in first) == PracticeLocation.objects.count() == ROWS

    edit(clinician_file, lambda number, record: record.update(phn_numbr=f"646{number:07}"))
    events()
    second = twice_at_once(clinician_file)

    assert sum(report.locations.updated for report in second) == ROWS
    assert [event["op"] for event in events()] == ["u"] * ROWS


def test_a_doctor_whom_somebody_deletes_during_the_import_is_made_again_for_the_next_address(
    clinician_file: Path, edit: Edit
) -> None:
    npi = "2000000028"
    edit(clinician_file, lambda _number, record: record.update(NPI=npi))

    def delete_once(report: ImportReport) -> None:
        if report.rows == 10:
            Doctor.objects.get(npi=npi).delete()

    report = run(clinician_file, delete_once)

    assert report.complete
    assert report.doctors.created == 2
    assert PracticeLocation.objects.filter(doctor__npi=npi).count() == ROWS - 10
    assert Doctor.objects.get(npi=npi).specialties.exists()
