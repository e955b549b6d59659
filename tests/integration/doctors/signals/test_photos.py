"""A photo is removed from its storage when the doctor is, or another one takes its place; after the commit."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, default_storage
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from doctors.models import Doctor
from tests.integration.doctors.people import at_once, doctor

pytestmark = pytest.mark.django_db(transaction=True)


def stored() -> set[str]:
    """Return the names of all photos in the storage, whatever kind of storage that is."""

    def below(folder: str) -> set[str]:
        folders, files = default_storage.listdir(folder)
        return {f"{folder}/{name}" for name in files}.union(*(below(f"{folder}/{name}") for name in folders))

    return below("doctors/photos") if default_storage.exists("doctors/photos") else set()


def upload(name: str = "ada.png") -> ContentFile[bytes]:
    return ContentFile(b"a picture", name=name)


@pytest.fixture(autouse=True)
def clean_storage() -> Any:
    for name in stored():
        default_storage.delete(name)


def test_the_photo_goes_with_its_doctor() -> None:
    who, other = doctor(photo=upload()), doctor(photo=upload())
    assert stored() == {who.photo.name, other.photo.name}

    Doctor.objects.filter(pk=who.pk).delete()

    assert stored() == {other.photo.name}


def test_a_photo_that_is_replaced_is_removed() -> None:
    who = doctor(photo=upload())
    first = who.photo.name

    who.photo = upload("second.png")
    who.save()
    second = who.photo.name
    assert stored() == {second} != {first}

    held = Doctor.objects.get(pk=who.pk)
    held.photo.save("third.png", upload())
    third = held.photo.name
    assert stored() == {third} != {second}

    held.photo = ""
    held.save(update_fields=["photo"])
    assert stored() == set()


def test_a_photo_stays_when_other_columns_are_saved_and_costs_no_statement() -> None:
    who = Doctor.objects.get(pk=doctor(photo=upload()).pk)
    who.bio = "new"
    with CaptureQueriesContext(connection) as queries:
        who.save()
        who.save(update_fields=["bio"])

    assert [query["sql"].split()[0] for query in queries] == ["UPDATE", "UPDATE"]
    assert stored() == {who.photo.name}


def test_a_change_that_is_rolled_back_removes_nothing() -> None:
    who = doctor(photo=upload())
    first = who.photo.name
    with transaction.atomic():
        who.photo = upload("second.png")
        who.save()
        Doctor.objects.get(pk=who.pk).delete()
        assert first in stored()
        transaction.set_rollback(True)

    assert first in stored()
    assert Doctor.objects.get().photo.name == first


def test_nothing_is_removed_before_the_commit() -> None:
    who = doctor(photo=upload())
    with transaction.atomic():
        Doctor.objects.get(pk=who.pk).delete()
        assert stored() == {who.photo.name}
    assert stored() == set()


def test_a_file_that_another_row_names_stays() -> None:
    who = doctor(photo=upload())
    twin = doctor(photo=who.photo.name)

    who.delete()
    assert stored() == {twin.photo.name}
    twin.delete()
    assert stored() == set()


def test_of_uploads_at_once_the_last_one_stays_and_no_other() -> None:
    who = doctor(photo=upload())

    def replace(number: int) -> None:
        held = Doctor.objects.get(pk=who.pk)
        held.photo = upload(f"{number}.png")
        held.save()

    results = at_once(*[lambda number=number: replace(number) for number in range(4)])

    assert results == [None] * 4
    assert stored() == {Doctor.objects.get().photo.name}


def test_a_storage_that_is_away_keeps_no_other_work_from_being_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(InMemoryStorage):
        def delete(self, name: str) -> None:
            raise OSError("the bucket does not answer")

    who = doctor(photo=upload())
    done: list[str] = []
    monkeypatch.setattr(Doctor.photo.field, "storage", Away())

    with transaction.atomic():
        Doctor.objects.get(pk=who.pk).delete()
        transaction.on_commit(lambda: done.append("a later callback"))

    assert not Doctor.objects.exists()
    assert done == ["a later callback"]
    assert "the bucket does not answer" in caplog.text
