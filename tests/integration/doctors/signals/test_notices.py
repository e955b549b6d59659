"""The worker tells heads of departments who came and who left, and doctors who were activated together of that."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import transaction
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from doctors.mail.tasks import tell_activated_doctors
from doctors.models import Department, Doctor, DoctorMail
from doctors.services import DoctorService
from tests.integration.doctors.conftest import Importer, MakeWorker
from tests.integration.doctors.people import department, doctor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cardiology() -> Department:
    """A department whose head has an address; nothing else waits for the worker."""
    head = doctor(last_name="Lindqvist")
    Doctor.objects.filter(pk=head.pk).update(email="head@clinic.example")
    return department("Cardiology", head=head)


def told(make_worker: MakeWorker) -> list[tuple[str, list[str], list[str]]]:
    """Let the worker work; return subject, addressees and named doctors of each mail since the last call."""
    make_worker().run_until_idle()
    told = [(str(one.subject), one.to, str(one.body).splitlines()[2:]) for one in mail.outbox]
    mail.outbox.clear()
    return told


def test_the_head_is_told_of_each_who_comes_and_leaves_from_either_side(
    cardiology: Department, make_worker: MakeWorker
) -> None:
    ada, bram = doctor(), doctor(first_name="Bram")
    address = ["head@clinic.example"]

    ada.departments.add(cardiology)
    cardiology.doctors.add(bram)
    assert told(make_worker) == [
        ("New doctors in Cardiology", address, ["Dr Ada Byron"]),
        ("New doctors in Cardiology", address, ["Dr Bram Byron"]),
    ]
    ada.departments.remove(cardiology)
    cardiology.doctors.set([])
    assert told(make_worker) == [
        ("Doctors left Cardiology", address, ["Dr Ada Byron"]),
        ("Doctors left Cardiology", address, ["Dr Bram Byron"]),
    ]
    cardiology.doctors.set([ada, bram])
    ada.departments.clear()
    cardiology.doctors.clear()
    assert told(make_worker) == [
        ("New doctors in Cardiology", address, ["Dr Ada Byron", "Dr Bram Byron"]),
        ("Doctors left Cardiology", address, ["Dr Ada Byron"]),
        ("Doctors left Cardiology", address, ["Dr Bram Byron"]),
    ]


def test_the_head_is_told_only_of_what_really_changed(cardiology: Department, make_worker: MakeWorker) -> None:
    ada, stranger = doctor(), doctor(first_name="Bram")
    cardiology.doctors.add(ada)
    told(make_worker)

    cardiology.doctors.add(ada)
    cardiology.doctors.remove(stranger)
    stranger.departments.clear()
    ada.departments.set([cardiology])

    assert told(make_worker) == []


def test_nobody_is_told_before_the_commit_or_after_a_rollback(cardiology: Department, make_worker: MakeWorker) -> None:
    ada = doctor()
    with transaction.atomic():
        ada.departments.add(cardiology)
        transaction.set_rollback(True)
    closed = department("Radiology", is_active=False, head=cardiology.head)
    with pytest.raises(ValidationError):
        ada.departments.add(cardiology, closed)

    assert not DBTaskResult.objects.exists()
    assert told(make_worker) == []


def test_a_department_without_a_head_or_whose_head_has_no_address_tells_nobody(
    cardiology: Department, make_worker: MakeWorker
) -> None:
    headless, silent = department("Urology"), department("Surgery", head=doctor())
    ada = doctor()

    ada.departments.add(headless, silent)

    assert told(make_worker) == []
    assert set(DBTaskResult.objects.values_list("status", flat=True)) == {"SUCCESSFUL"}


def test_whoever_is_the_head_when_the_notice_goes_out_gets_it(cardiology: Department, make_worker: MakeWorker) -> None:
    doctor().departments.add(cardiology)
    Doctor.objects.filter(headed_departments=cardiology).update(email="new@clinic.example")

    assert [to for _, to, _ in told(make_worker)] == [["new@clinic.example"]]


def test_where_no_mails_are_sent_none_is_asked_for(cardiology: Department, settings: Settings) -> None:
    settings.MAILS_ENABLED = False
    who = doctor(is_active=False)
    who.departments.add(cardiology)
    DoctorService.bulk_activate([who.pk])

    assert not DBTaskResult.objects.exists()


def test_doctors_who_are_activated_together_are_one_notification_and_each_is_told_once(
    make_worker: MakeWorker,
) -> None:
    doctors = Doctor.objects.bulk_create(
        [Doctor(last_name=f"Byron {number}", email=f"{number}@clinic.example", is_active=False) for number in range(3)]
    )
    silent = doctor(is_active=False)

    DoctorService.bulk_activate([who.pk for who in [*doctors, silent]])
    (notification,) = DBTaskResult.objects.all()
    notice_id, keys = notification.args_kwargs["args"]
    assert keys == sorted(who.pk for who in [*doctors, silent])

    subjects = [(subject, to) for subject, to, _ in told(make_worker)]
    assert sorted(subjects) == [("Your profile is active", [f"{number}@clinic.example"]) for number in range(3)]
    assert DoctorMail.objects.exclude(sent_at=None).count() == 3

    # As after the death of a worker that had not noted its success.
    tell_activated_doctors.enqueue(notice_id, keys)
    assert told(make_worker) == []


def test_a_bulk_activation_that_is_rolled_back_tells_nobody() -> None:
    who = doctor(is_active=False)
    with transaction.atomic():
        DoctorService.bulk_activate([who.pk])
        transaction.set_rollback(True)

    assert not DBTaskResult.objects.exists()


def test_an_import_tells_no_head(
    cardiology: Department, import_file: Importer, clinician_file: object, make_worker: MakeWorker
) -> None:
    import_file(clinician_file)
    Department.objects.update(head=cardiology.head)
    Doctor.departments.through.objects.all().delete()
    assert import_file(clinician_file)["doctors"]["updated"] > 0

    assert not DBTaskResult.objects.exists()
