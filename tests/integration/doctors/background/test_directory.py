"""The hospital directory ends with what the database holds, whatever failed in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from doctors.directory import client
from doctors.models import Department, Doctor, Specialty
from tests.integration.doctors.background.servers import Directory, serving
from tests.integration.doctors.conftest import MakeWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def directory(settings: Settings) -> Iterator[Directory]:
    """A directory that is told of doctors."""
    with (made := Directory()), serving(made):
        settings.DIRECTORY_URL, settings.DIRECTORY_TOKEN = made.url, "s3cret"
        settings.DIRECTORY_TIMEOUT_SECONDS = 20
        yield made


def path(doctor: Doctor) -> str:
    """Return where the directory keeps a doctor."""
    return f"/api/doctors/{doctor.pk}"


def new_doctor() -> Doctor:
    """Return a doctor of a department."""
    ward = Department.objects.create(code="W1", name="Ward")
    return Doctor.objects.create(first_name="Ada", last_name="Byron", department=ward, tax_id="98-1")


def work(make_worker: MakeWorker) -> None:
    """Let every attempt be due, and make it."""
    DBTaskResult.objects.filter(status="READY").update(run_after=timezone.now())
    make_worker().run_until_idle()


def states() -> set[str]:
    """Return the states of all tasks."""
    return set(DBTaskResult.objects.values_list("status", flat=True))


def test_without_an_address_nothing_is_asked_for() -> None:
    new_doctor()
    assert not DBTaskResult.objects.exists()


def test_the_directory_shows_what_is_public_of_a_doctor(directory: Directory, make_worker: MakeWorker) -> None:
    doctor = new_doctor()
    doctor.specialties.add(Specialty.objects.create(name="Surgery"))
    work(make_worker)
    assert directory.doctors == {
        path(doctor): {
            "id": doctor.pk,
            "slug": doctor.slug,
            "npi": None,
            "first_name": "Ada",
            "last_name": "Byron",
            "credential": "",
            "is_active": True,
            "department": "W1",
            "specialties": ["Surgery"],
        }
    }
    assert directory.tokens == {"Bearer s3cret"}


def test_changes_activations_and_deletions_follow(directory: Directory, make_worker: MakeWorker) -> None:
    doctor, shown = new_doctor(), path(Doctor.objects.get())
    doctor.deactivate()
    work(make_worker)
    assert directory.doctors[shown]["is_active"] is False
    doctor.delete()
    work(make_worker)
    assert directory.doctors == {}


def test_doctors_who_were_created_together_are_one_task(directory: Directory, make_worker: MakeWorker) -> None:
    made = Doctor.objects.bulk_create([Doctor(first_name="A", last_name=str(number)) for number in range(5)])
    assert DBTaskResult.objects.count() == 1
    work(make_worker)
    assert directory.doctors.keys() == {path(doctor) for doctor in made}


def test_a_rollback_tells_nobody(directory: Directory, make_worker: MakeWorker) -> None:
    with transaction.atomic():
        new_doctor()
        transaction.set_rollback(True)
    work(make_worker)
    assert directory.doctors == {}


@pytest.mark.parametrize("refusal", [500, 503, 429, 408, 0])
def test_a_directory_that_fails_first_is_told_later(
    directory: Directory, make_worker: MakeWorker, refusal: int
) -> None:
    directory.refusals = [refusal, refusal]
    doctor = new_doctor()
    for _ in range(3):
        assert directory.doctors == {}
        work(make_worker)
    assert directory.doctors.keys() == {path(doctor)}
    assert states() == {"SUCCESSFUL"}


@pytest.mark.parametrize("refusal", [400, 401, 409, 302])
def test_a_refusal_for_good_is_given_up_and_harms_no_other_doctor(
    directory: Directory, make_worker: MakeWorker, refusal: int
) -> None:
    directory.refusals = [refusal]
    _, second = Doctor.objects.bulk_create([Doctor(first_name="A", last_name=name) for name in "BC"])
    work(make_worker)
    assert directory.doctors.keys() == {path(second)}
    assert states() == {"FAILED"}


def test_a_directory_that_is_away_fails_no_save(settings: Settings, make_worker: MakeWorker) -> None:
    settings.DIRECTORY_URL = "http://127.0.0.1:1/api"
    doctor = new_doctor()
    work(make_worker)
    assert Doctor.objects.filter(pk=doctor.pk).exists()
    assert states() == {"READY"}


def test_a_change_that_comes_while_the_directory_is_told_is_told_too(
    directory: Directory, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor, put = new_doctor(), client.put
    names: list[str] = []

    def put_late(doctor_id: int, entry: dict[str, Any]) -> None:
        # Another writer commits, and its own task is done, before this older state arrives.
        if not names:
            Doctor.objects.filter(pk=doctor.pk).update(first_name="Augusta")
        names.append(entry["first_name"])
        put(doctor_id, entry)

    monkeypatch.setattr(client, "put", put_late)
    work(make_worker)
    assert names == ["Ada", "Augusta"]
    assert directory.doctors[path(doctor)]["first_name"] == "Augusta"
