"""A file that is imported once, again, and changed: every change arrives in the audit log, once and exact."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Model

from doctors.clinicians.generator import write_file
from doctors.models import Doctor, PracticeLocation
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.files import SAMPLE, new_phone, with_other_phones
from tests.acceptance.pipeline.services import AUDITOR, Deployment

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

DOCTOR, LOCATION = "doctors.doctor", "doctors.practicelocation"
ROWS = 300


def generated(folder: Path) -> Path:
    """Return a file of the project's own making."""
    file = folder / "clinicians.csv"
    write_file(file, rows=ROWS, seed=3)
    return file


def official(_folder: Path) -> Path:
    """Return the official sample."""
    return SAMPLE


def created(rows: list[dict[str, Any]], model: str) -> dict[int, dict[str, Any]]:
    """Return the images of the creates of a model, by key; each key must be created once."""
    images = [row["after"] for row in rows if (row["model"], row["action"]) == (model, "create")]
    by_key = {image["id"]: image for image in images}
    assert len(by_key) == len(images)
    return by_key


def rows_of(books: Books, model: type[Model]) -> dict[int, dict[str, Any]]:
    """Return the rows of a model: the columns that it has, as a newer version may have added others."""
    columns = {field.column for field in model._meta.concrete_fields}
    rows = books.rows(model._meta.db_table)
    return {key: {name: value for name, value in row.items() if name in columns} for key, row in rows.items()}


def links(books: Books) -> set[tuple[str, str, str]]:
    """Return the links of doctors as the database has them."""
    return {
        (field, str(row["doctor_id"]), str(row[f"{target}_id"]))
        for field, target in (("specialties", "specialty"), ("departments", "department"))
        for row in books.rows(f"doctors_doctor_{field}").values()
    }


def added(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the links that the audit log says were added."""
    return [
        (row["m2m"]["field"], row["object_pk"], target)
        for row in rows
        if row["action"] == "m2m.add"
        for target in row["m2m"]["added"]
    ]


FILES = [pytest.param(generated, None, id="generated")]
if SAMPLE.exists():
    FILES.append(pytest.param(official, (371, 386), id="official"))


@pytest.mark.parametrize(("make", "figures"), FILES)
def test_an_import_arrives_whole_a_second_leaves_no_event_and_a_third_one_event_a_changed_row(
    make: Any, figures: tuple[int, int] | None, deployment: Deployment, books: Books, tmp_path: Path
) -> None:
    file = make(tmp_path)
    deployment.start_relay()
    deployment.start_consumer()

    first = deployment.finished(deployment.start_import(file))
    deployment.wait_until(books.settled, what="the first import in the audit log")
    rows = assert_balanced(books)
    doctors, locations = rows_of(books, Doctor), rows_of(books, PracticeLocation)
    assert first["doctors"] == {"created": len(doctors), "updated": 0, "unchanged": 0}
    assert first["locations"] == {"created": len(locations), "updated": 0, "unchanged": 0}
    assert figures is None or figures == (len(doctors), len(locations))
    assert created(rows, LOCATION) == locations
    assert created(rows, DOCTOR) == {key: {**row, "tax_id": "***"} for key, row in doctors.items()}
    assert sorted(added(rows)) == sorted(links(books))
    assert {row["action"] for row in rows} == {"create", "m2m.add"}

    second = deployment.finished(deployment.start_import(file))
    assert second["doctors"] == {"created": 0, "updated": 0, "unchanged": len(doctors)}
    assert second["locations"] == {"created": 0, "updated": 0, "unchanged": len(locations)}
    assert len(books.committed()) == len(rows)

    changed = with_other_phones(file, to=tmp_path / "changed.csv")
    third = deployment.finished(deployment.start_import(changed))
    deployment.wait_until(books.settled, what="the third import in the audit log")
    updates = assert_balanced(books)[len(rows) :]
    now = rows_of(books, PracticeLocation)
    assert third["locations"] == {"created": 0, "updated": len(locations), "unchanged": 0}
    assert Counter((row["model"], row["action"]) for row in updates) == {(LOCATION, "update"): len(locations)}
    assert {row["before"]["id"]: row["before"] for row in updates} == locations
    assert {row["after"]["id"]: row["after"] for row in updates} == now
    assert sorted(row["phone"] for row in now.values()) == [new_phone(number) for number in range(len(locations))]
    assert {row["object_pk"]: row["changes"] for row in updates} == {
        str(key): {"phone": [locations[key]["phone"], row["phone"]]} for key, row in now.items()
    }

    account = json.loads(deployment.run("reconcile", "audit_reconcile", "--json", roles=AUDITOR))
    count = len(rows) + len(updates)
    assert (account["committed"], account["published"], account["stored"]) == (count, count, count)
    assert (account["missing"], account["unrecoverable"]) == ([], [])
