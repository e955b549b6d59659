"""Importing the same file once, again, and changed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from doctors.models import Department, Doctor, PracticeLocation
from tests.conftest import Events
from tests.integration.doctors.conftest import ROWS, Edit, Importer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]

DOCTOR, LOCATION = "doctors.doctor", "doctors.practicelocation"


def counted(events: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((event["audit"]["model"], event["audit"]["action"]) for event in events)


def test_a_first_run_creates_a_second_leaves_no_event_and_a_third_one_event_a_changed_row(
    clinician_file: Path, import_file: Importer, edit: Edit, events: Events
) -> None:
    first = import_file(clinician_file)
    doctors = Doctor.objects.count()
    made = counted(events())

    assert (first["rows"], first["rejected"], first["complete"]) == (ROWS, [], True)
    assert first["doctors"] == {"created": doctors, "updated": 0, "unchanged": 0}
    assert first["locations"] == {"created": ROWS, "updated": 0, "unchanged": 0}
    assert made[DOCTOR, "create"] == doctors
    assert made[LOCATION, "create"] == PracticeLocation.objects.count() == ROWS

    second = import_file(clinician_file)

    assert second["doctors"] == {"created": 0, "updated": 0, "unchanged": doctors}
    assert second["locations"] == {"created": 0, "updated": 0, "unchanged": ROWS}
    assert events() == []

    before = dict(PracticeLocation.objects.values_list("pk", "phone"))
    edit(clinician_file, lambda number, record: record.update(phn_numbr=f"646{number:07}"))
    third = import_file(clinician_file)
    changes = events()

    assert third["locations"] == {"created": 0, "updated": ROWS, "unchanged": 0}
    assert counted(changes) == {(LOCATION, "update"): ROWS}
    assert {event["before"]["id"]: event["before"]["phone"] for event in changes} == before
    after = dict(PracticeLocation.objects.values_list("pk", "phone"))
    assert {event["after"]["id"]: event["after"]["phone"] for event in changes} == after
    assert sorted(after.values()) == [f"646{number:07}" for number in range(ROWS)]


@pytest.mark.parametrize("batch_rows", ["1", "7", "1000"])
def test_the_size_of_the_batches_changes_nothing(
    clinician_file: Path, import_file: Importer, events: Events, batch_rows: str
) -> None:
    import_file(clinician_file)
    events()

    again = import_file(clinician_file, "--batch-rows", batch_rows)

    assert again["locations"]["unchanged"] == ROWS
    assert events() == []


def test_specialties_and_hospitals_are_added_and_removed_one_by_one(
    clinician_file: Path, import_file: Importer, edit: Edit, events: Events
) -> None:
    def specialties(first: str, second: str) -> None:
        edit(clinician_file, lambda _n, record: record.update(pri_spec=first, sec_spec_1=second, sec_spec_2=""))

    def hospital(code: str, name: str) -> None:
        edit(clinician_file, lambda _n, record: record.update(hosp_afl_1=code, hosp_afl_lbn_1=name))

    specialties("NEPHROLOGY", "UROLOGY")
    import_file(clinician_file)
    doctors = Doctor.objects.count()
    specialties("NEPHROLOGY", "SURGERY")
    events()

    report = import_file(clinician_file)
    links = [event["audit"]["m2m"] for event in events() if event["op"] == "m"]

    assert report["doctors"] == {"created": 0, "updated": doctors, "unchanged": 0}
    doctor = Doctor.objects.order_by("pk")[0]
    assert set(doctor.specialties.values_list("name", flat=True)) == {"NEPHROLOGY", "SURGERY"}
    assert Counter(len(link["added"]) - len(link["removed"]) for link in links) == {1: doctors, -1: doctors}

    hospital("99278", "SANTA ELENA")
    import_file(clinician_file)
    assert set(Doctor.objects.filter(departments__code="099278")) == set(Doctor.objects.all())
    hospital("99278", "SANTA ELENA GENERAL")
    import_file(clinician_file)
    assert Department.objects.get(code="099278").name == "SANTA ELENA GENERAL"


def test_a_changed_name_is_one_update_of_the_doctor_and_keeps_the_slug(
    clinician_file: Path, import_file: Importer, edit: Edit, events: Events
) -> None:
    import_file(clinician_file)
    npi = Doctor.objects.order_by("pk")[0].npi
    slug = Doctor.objects.get(npi=npi).slug
    events()
    edit(clinician_file, lambda _n, record: record.update(lst_nm="RENAMED") if record["NPI"] == npi else None)

    report = import_file(clinician_file)

    assert report["doctors"]["updated"] == 1
    assert counted(events()) == {(DOCTOR, "update"): 1}
    assert Doctor.objects.get(npi=npi).slug == slug


def test_doctors_are_written_as_a_save_would_write_them_without_its_mails(
    clinician_file: Path, import_file: Importer, edit: Edit, events: Events
) -> None:
    edit(clinician_file, lambda _n, record: record.update(pri_spec="UROLOGY", sec_spec_1="NEPHROLOGY", sec_spec_2=""))
    import_file(clinician_file)

    doctors = list(Doctor.objects.all())
    assert all(doctor.slug.endswith(f"-{doctor.pk}") for doctor in doctors)
    assert {tuple(doctor.search_tags) for doctor in doctors} == {("NEPHROLOGY", "UROLOGY")}
    assert Doctor.objects.update_search_tags(doctor.pk for doctor in doctors)
    assert counted(events())[DOCTOR, "update"] == 0

    edit(clinician_file, lambda _n, record: record.update(sec_spec_1=""))
    import_file(clinician_file)
    assert {tuple(tags) for tags in Doctor.objects.values_list("search_tags", flat=True)} == {("UROLOGY",)}


def test_an_inactive_hospital_takes_no_new_doctor_and_keeps_those_it_has(
    clinician_file: Path, import_file: Importer, edit: Edit, events: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    def hospitals(*codes: str) -> None:
        columns = {f"hosp_afl_{part}{number}": "" for number in range(1, 6) for part in ("", "lbn_")}
        columns |= {f"hosp_afl_{number}": code for number, code in enumerate(codes, 1)}
        edit(clinician_file, lambda _n, record: record.update(columns))

    hospitals("099278")
    import_file(clinician_file)
    Department.objects.create(code="070001", name="Closed", is_active=False)
    Department.objects.filter(code="099278").update(is_active=False)
    hospitals("099278", "070001")
    events()

    report = import_file(clinician_file)

    doctors = Doctor.objects.count()
    assert report["refused_assignments"] == doctors
    assert report["doctors"]["unchanged"] == doctors
    assert events() == []
    assert Doctor.objects.filter(departments__code="099278").count() == doctors
    assert not Doctor.objects.filter(departments__code="070001").exists()
    call_command("import_clinicians", str(clinician_file))
    assert f"{doctors} assignments to inactive departments were not made" in capsys.readouterr().out


def test_what_the_file_does_not_know_is_left_alone(clinician_file: Path, import_file: Importer, events: Events) -> None:
    import_file(clinician_file)
    Doctor.objects.update(phone="2025550100", consultation_fee="99.00", is_active=False)
    events()

    import_file(clinician_file)

    assert events() == []
    assert Doctor.objects.filter(phone="2025550100", consultation_fee="99.00", is_active=False).count() > 0


def test_a_repeated_row_counts_as_a_duplicate_and_the_first_one_holds(
    clinician_file: Path, import_file: Importer, events: Events
) -> None:
    lines = clinician_file.read_text(encoding="utf-8").splitlines(keepends=True)
    clinician_file.write_text("".join([*lines, lines[1].replace(",M,", ",Y,"), *lines[1:]]), encoding="utf-8")

    report = import_file(clinician_file, "--batch-rows", "7")

    assert report["rows"] == 2 * ROWS + 1
    assert report["duplicates"] == ROWS + 1
    assert report["locations"]["created"] == ROWS
    assert counted(events())[LOCATION, "create"] == ROWS
    import_file(clinician_file, "--batch-rows", "7")
    assert events() == []


def test_unusable_rows_are_reported_with_line_and_reason_and_the_others_imported(
    clinician_file: Path, import_file: Importer, edit: Edit
) -> None:
    def spoil(number: int, record: dict[str, str]) -> None:
        if number == 4:
            record["adr_ln_1"] = ""
        if number == 9:
            record["NPI"] = "1234567890"

    edit(clinician_file, spoil)

    report = import_file(clinician_file)

    assert report["rejected"] == [
        {"line": 6, "reason": "adr_ln_1 is empty"},
        {"line": 11, "reason": "NPI '1234567890' is not ten digits with a right check digit"},
    ]
    assert report["locations"]["created"] == ROWS - 2


def test_the_events_name_no_user_outside_a_request(clinician_file: Path, import_file: Importer, events: Events) -> None:
    import_file(clinician_file)

    assert {str(event["audit"]["actor"]) for event in events()} == {"None"}


@pytest.mark.parametrize("content", [b"", b"NPI,lst_nm\n", b"\xff\xfe\x00"])
def test_a_file_of_another_kind_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(content)

    with pytest.raises(CommandError, match=r"other\.csv"):
        call_command("import_clinicians", str(path))
    assert not Doctor.objects.exists()


def test_the_report_for_people_names_the_sums(
    clinician_file: Path, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(clinician_file, lambda _n, record: record.update(adrs_id="") if record["NPI"] else None)

    call_command("import_clinicians", str(clinician_file))

    shown = capsys.readouterr().out
    assert f"{ROWS} rows in" in shown
    assert f"{ROWS} rows rejected" in shown
    assert "line 2: adrs_id is empty" in shown
    assert "… and 40 more" in shown
