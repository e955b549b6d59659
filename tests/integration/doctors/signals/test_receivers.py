"""How the receivers are connected, and what becomes of a save when one of another application fails."""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.db import transaction
from django.db.models.signals import post_save

from doctors.disabling import disable_signals
from doctors.models import Doctor, DoctorProfile
from doctors.receivers import CONNECTIONS
from doctors.receivers.doctor import create_profile
from doctors.signals import doctor_activated
from tests.conftest import Events
from tests.integration.doctors.conftest import Listen
from tests.integration.doctors.people import doctor

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_receiver_is_connected_once_however_often_the_application_is_ready() -> None:
    signals = {id(connection.signal): connection.signal for connection in CONNECTIONS}
    before = {number: list(signal.receivers) for number, signal in signals.items()}

    for _ in range(3):
        apps.get_app_config("doctors").ready()

    assert {number: list(signal.receivers) for number, signal in signals.items()} == before
    connected = Counter((number, key) for number, signal in signals.items() for key, *_ in signal.receivers)
    for connection in CONNECTIONS:
        assert connected[id(connection.signal), (connection.uid, id(connection.sender))] == 1


def test_each_receiver_has_an_identity_and_a_sender_of_its_own() -> None:
    assert len({(id(one.signal), one.uid, one.sender) for one in CONNECTIONS}) == len(CONNECTIONS)
    # One without a sender would take Django's fast paths from every model of the project.
    assert all(one.sender is not None for one in CONNECTIONS if one.signal.__class__.__name__ == "ModelSignal")


def test_a_new_doctor_has_a_profile_and_a_changed_one_the_same(events: Events) -> None:
    who = doctor()
    profile = who.profile
    who.save()

    assert DoctorProfile.objects.get() == profile
    assert [event["audit"]["model"] for event in events()] == [
        "doctors.doctor",
        "doctors.doctorprofile",
        "doctors.doctor",
    ]


def test_a_doctor_without_a_profile_is_not_made_when_the_profile_fails(events: Events, listen: Listen) -> None:
    def refuse(**_kwargs: Any) -> None:
        raise RuntimeError

    listen(post_save, refuse, sender=DoctorProfile)

    with pytest.raises(RuntimeError):
        doctor()

    assert not Doctor.objects.exists()
    assert events() == []


def test_a_receiver_that_raises_takes_the_new_doctor_back_whole(events: Events, listen: Listen) -> None:
    def refuse(**_kwargs: Any) -> None:
        raise RuntimeError

    listen(post_save, refuse, sender=Doctor)

    with pytest.raises(RuntimeError):
        doctor(email="ada@clinic.example")

    assert not Doctor.objects.exists()
    assert not DoctorProfile.objects.exists()
    assert events() == []


def test_a_rollback_takes_everything_back(events: Events) -> None:
    with transaction.atomic():
        doctor()
        transaction.set_rollback(True)

    assert not DoctorProfile.objects.exists()
    assert events() == []


def test_a_disabled_receiver_makes_no_profile_and_is_back_afterwards() -> None:
    with disable_signals((post_save, create_profile, Doctor)):
        without = doctor()
    assert not DoctorProfile.objects.filter(doctor=without).exists()
    assert doctor().profile is not None


class TestOfTheChapter:
    """The chapter's own tests, which this domain passes as they stand."""

    def test_post_save_creates_profile(self) -> None:
        who = Doctor.objects.create(first_name="John", last_name="Doe", email="john@example.com")
        assert who.profile is not None
        assert DoctorProfile.objects.get().doctor == who

    def test_doctor_activated_signal(self) -> None:
        handler = Mock()
        doctor_activated.connect(handler)
        try:
            who = Doctor.objects.create(first_name="John", last_name="Doe", email="john@example.com", is_active=False)
            who.activate(activated_by=None)
            handler.assert_called_once()
            assert handler.call_args[1]["doctor"] == who
        finally:
            doctor_activated.disconnect(handler)

    def test_bulk_update_no_signal(self) -> None:
        handler = Mock()
        post_save.connect(handler, sender=Doctor)
        try:
            Doctor.objects.create(first_name="John", last_name="Doe", email="john@example.com")
            handler.reset_mock()
            Doctor.objects.all().update(is_active=True)
            handler.assert_not_called()
        finally:
            post_save.disconnect(handler, sender=Doctor)
