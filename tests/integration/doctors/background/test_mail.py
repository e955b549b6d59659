"""Mails to doctors: one for each reason, however often it is tried, and never at the cost of a save."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.db.models.signals import post_save
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from pytest_django import Settings

from doctors.mail.tasks import send_doctor_mail
from doctors.models import Doctor, DoctorMail
from tests.integration.doctors.background.servers import MailServer, serving
from tests.integration.doctors.conftest import Importer, MakeWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings: Settings) -> Iterator[MailServer]:
    """A mail server to which mails go."""
    with (made := MailServer()), serving(made):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = made.server_address[:2]
        settings.DEFAULT_FROM_EMAIL = "Clinic <clinic@hospital.example>"
        yield made


def new_doctor(**facts: object) -> Doctor:
    """Return a doctor with an address."""
    return Doctor.objects.create(**{"first_name": "Ada", "last_name": "Byron", "email": "ada@example.org", **facts})


def make_due() -> None:
    """Let the pauses between attempts be over."""
    DBTaskResult.objects.update(run_after=timezone.now())


def test_a_new_doctor_is_welcomed_once(make_worker: MakeWorker) -> None:
    doctor = new_doctor()
    doctor.save()
    assert mail.outbox == []
    make_worker().run_until_idle()
    assert [(message.subject, message.to) for message in mail.outbox] == [
        ("Welcome to our platform", ["ada@example.org"])
    ]
    assert "Hello Dr. Byron" in mail.outbox[0].body
    send_doctor_mail.enqueue(str(DoctorMail.objects.get().pk))
    make_worker().run_until_idle()
    assert len(mail.outbox) == 1


def test_an_activated_doctor_is_told_each_time(make_worker: MakeWorker) -> None:
    doctor = new_doctor(is_active=False)
    make_worker().run_until_idle()
    mail.outbox.clear()
    assert doctor.activate()
    assert not doctor.activate()
    doctor.deactivate()
    doctor.activate()
    make_worker().run_until_idle()
    assert [message.subject for message in mail.outbox] == ["Your profile is active"] * 2


def test_a_rollback_sends_nothing(make_worker: MakeWorker) -> None:
    with transaction.atomic():
        new_doctor().activate()
        transaction.set_rollback(True)
    make_worker().run_until_idle()
    assert mail.outbox == []
    assert not DoctorMail.objects.exists()


def test_doctors_without_an_address_get_no_mail(make_worker: MakeWorker) -> None:
    new_doctor(email=None)
    assert not DBTaskResult.objects.exists()


def test_where_no_mails_are_sent_none_is_asked_for(settings: Settings) -> None:
    settings.MAILS_ENABLED = False
    new_doctor()
    assert not DoctorMail.objects.exists()


def test_an_import_and_doctors_created_in_bulk_are_not_welcomed(import_file: Importer, clinician_file: Path) -> None:
    assert import_file(clinician_file)["doctors"]["created"] > 0
    Doctor.objects.bulk_create([Doctor(first_name="Ben", last_name="Byron", email="ben@example.org")])
    assert not DoctorMail.objects.exists()


def test_a_second_welcome_is_none_even_if_the_signal_is_sent_again(make_worker: MakeWorker) -> None:
    doctor = new_doctor()
    post_save.send(Doctor, instance=doctor, created=False, raw=False, using="default", update_fields=None)
    with pytest.raises(IntegrityError):
        DoctorMail.objects.create(doctor=doctor, kind="welcome")
    from doctors.mail.requests import request_mail
    from doctors.models import MailKind

    request_mail(doctor, MailKind.WELCOME, using="default")
    make_worker().run_until_idle()
    assert len(mail.outbox) == 1
    assert set(DBTaskResult.objects.values_list("status", flat=True)) == {"SUCCESSFUL"}


def test_the_mail_goes_to_the_address_that_the_doctor_has_by_then(make_worker: MakeWorker) -> None:
    doctor = new_doctor()
    doctor.email = "new@example.org"
    doctor.save()
    make_worker().run_until_idle()
    assert mail.outbox[0].to == ["new@example.org"]


def test_a_doctor_who_is_gone_gets_none(make_worker: MakeWorker) -> None:
    new_doctor().delete()
    make_worker().run_until_idle()
    assert mail.outbox == []


def test_a_mail_server_that_is_busy_is_tried_again_and_gets_one_mail(
    server: MailServer, make_worker: MakeWorker
) -> None:
    server.refusals = ["451 busy", "452 full"]
    new_doctor()
    for _ in range(3):
        make_due()
        make_worker().run_until_idle()
    assert len(server.taken) == 1
    assert server.recipients == ["rcpt TO:<ada@example.org>"]
    sent = DoctorMail.objects.get()
    assert sent.sent_at is not None
    assert f"Message-ID: <{sent.pk}@hospital.example>" in server.taken[0]


def test_a_mail_server_that_is_away_fails_no_save(settings: Settings, make_worker: MakeWorker) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    doctor = new_doctor()
    make_worker().run_until_idle()
    assert Doctor.objects.filter(pk=doctor.pk).exists()
    assert DBTaskResult.objects.get().status == "READY"
    assert DoctorMail.objects.get().sent_at is None


def test_an_address_that_the_server_refuses_for_good_is_given_up(server: MailServer, make_worker: MakeWorker) -> None:
    server.refusals = ["550 no such user"]
    new_doctor()
    make_worker().run_until_idle()
    task = DBTaskResult.objects.get()
    assert (task.status, task.exception_class_path) == ("FAILED", "doctors.background.outcomes.GiveUp")
    assert server.taken == []


def test_a_mail_whose_acknowledgement_was_lost_is_sent_again_under_the_same_id(
    server: MailServer, make_worker: MakeWorker
) -> None:
    server.silent = True
    new_doctor()
    make_worker().run_until_idle()
    server.silent = False
    make_due()
    make_worker().run_until_idle()
    ids = [re.findall(r"Message-ID: (\S+)", text) for text in server.taken]
    assert len(ids) == 2
    assert ids[0] == ids[1]
