"""What the cache keeps of rows is forgotten once their change has committed, whichever way they were written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from doctors.cache import keys
from doctors.cache.invalidator import CacheInvalidator
from doctors.cache.reading import cached
from doctors.models import Department, Doctor, Specialty

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("kept_in")]

OTHERS = ("patient:1", "doctors_of_the_world", "department_store")


class Clinic:
    """Two doctors of two departments, and a specialty."""

    def __init__(self) -> None:
        self.wards = [Department.objects.create(code=code, name=code) for code in ("A", "B")]
        self.surgery = Specialty.objects.create(name="Surgery")
        self.ada, self.ben = (
            Doctor.objects.create(first_name=name, last_name="Byron", department=ward)
            for name, ward in zip(("Ada", "Ben"), self.wards, strict=True)
        )
        self.keys = {
            *(keys.doctor(doctor.pk) for doctor in (self.ada, self.ben)),
            *(keys.doctor_of_slug(doctor.slug) for doctor in (self.ada, self.ben)),
            *keys.DOCTOR_LISTS,
            keys.doctor_page(1, 50),
            keys.doctor_page(2, 50),
            *(keys.department(ward.pk) for ward in self.wards),
            *(keys.doctors_of_department(ward.pk) for ward in self.wards),
            keys.DEPARTMENT_LIST,
        }

    def fill(self) -> None:
        """Keep something under each key, and under keys of others."""
        cache.set_many(dict.fromkeys((*self.keys, *OTHERS), "kept"))

    def forgotten(self) -> set[str]:
        """Return the keys of which nothing is kept any more; those of others are never among them."""
        assert set(cache.get_many(OTHERS)) == set(OTHERS)
        return self.keys - set(cache.get_many(self.keys))

    @property
    def lists(self) -> set[str]:
        """The keys of all lists in which doctors are."""
        pages = {keys.doctor_page(1, 50), keys.doctor_page(2, 50)}
        return {*keys.DOCTOR_LISTS, *pages, *(keys.doctors_of_department(ward.pk) for ward in self.wards)}

    @property
    def doctors(self) -> set[str]:
        """The keys of all that is kept of doctors."""
        return {key for key in self.keys if key.startswith("doctor:")} | self.lists


@pytest.fixture
def clinic(kept_in: str) -> Clinic:
    """A clinic of which everything is kept."""
    made = Clinic()
    made.fill()
    return made


def own(doctor: Doctor) -> set[str]:
    """Return the keys of one doctor."""
    return {keys.doctor(doctor.pk), keys.doctor_of_slug(doctor.slug)}


def test_a_saved_doctor_is_forgotten_and_no_other_one(clinic: Clinic) -> None:
    clinic.ada.first_name = "Augusta"
    clinic.ada.save()
    assert clinic.forgotten() == own(clinic.ada) | clinic.lists


def test_both_departments_of_a_doctor_who_moved_are_forgotten(clinic: Clinic) -> None:
    Doctor.objects.only("pk").get(pk=clinic.ada.pk)
    clinic.ada.department = clinic.wards[1]
    clinic.ada.save(update_fields=["department"])
    assert {keys.doctors_of_department(ward.pk) for ward in clinic.wards} <= clinic.forgotten()


def test_a_new_doctor_is_missing_in_the_lists_only(clinic: Clinic) -> None:
    Doctor.objects.create(first_name="Cleo", last_name="Byron")
    assert clinic.forgotten() == clinic.lists


def test_a_deleted_doctor_is_forgotten(clinic: Clinic) -> None:
    gone = own(clinic.ada)
    clinic.ada.delete()
    assert clinic.forgotten() == gone | clinic.lists


@pytest.mark.parametrize(
    "write",
    [
        lambda: Doctor.objects.update(is_active=False),
        lambda: Doctor.objects.bulk_update(
            [Doctor(pk=pk, bio="…") for pk in Doctor.objects.values_list("pk", flat=True)], ["bio"]
        ),
        lambda: Specialty.objects.update(name="Cutting"),
        lambda: Specialty.objects.get().save(),
        lambda: Specialty.objects.get().delete(),
    ],
    ids=["update", "bulk_update", "specialties, update", "specialty, save", "specialty, delete"],
)
def test_a_write_that_names_no_doctor_forgets_all_of_them(clinic: Clinic, write: Callable[[], Any]) -> None:
    write()
    assert clinic.forgotten() == clinic.doctors


def test_a_set_based_write_forgets_those_whom_it_names(clinic: Clinic) -> None:
    Doctor.objects.filter(pk__in=[clinic.ada.pk]).update(is_active=False)
    assert own(clinic.ada) | clinic.lists <= clinic.forgotten()
    assert keys.doctor(clinic.ben.pk) not in clinic.forgotten()


def test_doctors_created_in_bulk_are_missing_in_the_lists(clinic: Clinic) -> None:
    Doctor.objects.bulk_create([Doctor(first_name="Cleo", last_name="Byron")])
    assert clinic.forgotten() == clinic.lists


@pytest.mark.parametrize("reverse", [False, True])
def test_a_doctor_who_gets_a_specialty_is_forgotten(clinic: Clinic, reverse: bool) -> None:
    if reverse:
        clinic.surgery.doctors.add(clinic.ada)
    else:
        clinic.ada.specialties.add(clinic.surgery)
    assert own(clinic.ada) | clinic.lists <= clinic.forgotten()
    assert keys.doctor(clinic.ben.pk) not in clinic.forgotten()


@pytest.mark.parametrize("action", ["remove", "clear", "set"])
def test_a_doctor_who_loses_a_department_is_forgotten(clinic: Clinic, action: str) -> None:
    clinic.ada.departments.add(*clinic.wards)
    clinic.fill()
    arguments: dict[str, list[Any]] = {"remove": [*clinic.wards], "clear": [], "set": [[]]}
    getattr(clinic.ada.departments, action)(*arguments[action])
    assert own(clinic.ada) | clinic.lists <= clinic.forgotten()


def test_links_that_an_import_writes_are_noticed(clinic: Clinic) -> None:
    links = Doctor.specialties.through.objects
    links.bulk_create([Doctor.specialties.through(doctor_id=clinic.ben.pk, specialty_id=clinic.surgery.pk)])
    assert clinic.forgotten() == {keys.doctor(clinic.ben.pk)} | clinic.lists
    clinic.fill()
    links.all().delete()
    assert clinic.forgotten() == clinic.doctors


def test_a_changed_department_is_forgotten_with_the_doctors_who_name_it(clinic: Clinic) -> None:
    clinic.wards[0].name = "Ward A"
    clinic.wards[0].save()
    assert clinic.forgotten() == clinic.doctors | {keys.department(clinic.wards[0].pk), keys.DEPARTMENT_LIST}


def test_departments_changed_in_bulk_are_all_forgotten(clinic: Clinic) -> None:
    Department.objects.update(is_active=False)
    assert clinic.forgotten() == clinic.keys


def test_a_new_department_is_missing_in_the_list_only(clinic: Clinic) -> None:
    Department.objects.create(code="C", name="C")
    assert keys.DEPARTMENT_LIST in clinic.forgotten()
    assert clinic.forgotten().isdisjoint(clinic.doctors)


def test_nothing_is_forgotten_before_the_commit_and_all_of_it_once_afterwards(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[set[str]] = []
    original = CacheInvalidator.execute

    def execute(self: CacheInvalidator) -> None:
        executed.append(set(self.keys))
        original(self)

    monkeypatch.setattr(CacheInvalidator, "execute", execute)
    with transaction.atomic():
        with transaction.atomic():
            clinic.ada.save()
        clinic.ben.save()
        clinic.wards[0].save()
        assert clinic.forgotten() == set()
        assert executed == []
    assert len(executed) == 1
    assert own(clinic.ada) | own(clinic.ben) | {keys.DEPARTMENT_LIST} <= executed[0]


def test_a_rollback_forgets_nothing(clinic: Clinic) -> None:
    with transaction.atomic():
        clinic.ada.save()
        transaction.set_rollback(True)
    assert clinic.forgotten() == set()


def test_what_a_savepoint_took_back_keeps_later_writes_from_nothing(clinic: Clinic) -> None:
    with transaction.atomic():
        with transaction.atomic():
            clinic.ada.save()
            transaction.set_rollback(True)
        clinic.ben.save()
    assert clinic.forgotten() == own(clinic.ben) | clinic.lists


def test_forgetting_costs_the_database_nothing(
    clinic: Clinic, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        clinic.ada.save()
    with django_assert_num_queries(1):
        Doctor.objects.update(is_active=False)


def test_many_keys_are_deleted_by_a_pattern_and_no_others() -> None:
    cache.set_many({keys.doctor_page(number, 50): number for number in range(2_500)} | dict.fromkeys(OTHERS, "kept"))
    CacheInvalidator(patterns=[keys.EVERY_DOCTOR_PAGE]).execute()
    assert cache.get_many([keys.doctor_page(number, 50) for number in range(2_500)]) == {}
    assert set(cache.get_many(OTHERS)) == set(OTHERS)


def test_an_answer_is_computed_once_until_it_is_forgotten(clinic: Clinic) -> None:
    asked: list[int] = []

    def compute() -> dict[str, int]:
        asked.append(1)
        return {"answer": len(asked)}

    assert [cached("doctor:x", compute), cached("doctor:x", compute)] == [{"answer": 1}] * 2
    Doctor.objects.update(is_active=False)
    assert cached("doctor:x", compute) == {"answer": 2}


def test_an_answer_that_was_read_before_a_change_is_not_kept_after_it(clinic: Clinic) -> None:
    key = keys.doctor(clinic.ada.pk)
    cache.delete(key)

    def compute() -> str:
        name = Doctor.objects.get(pk=clinic.ada.pk).first_name
        # The other one commits and forgets before the answer is kept.
        other = threading.Thread(target=_rename, args=(clinic.ada.pk,))
        other.start()
        other.join()
        return name

    assert cached(key, compute) == "Ada"
    assert cached(key, lambda: Doctor.objects.get(pk=clinic.ada.pk).first_name) == "Augusta"


def _rename(pk: int) -> None:
    doctor = Doctor.objects.get(pk=pk)
    doctor.first_name = "Augusta"
    doctor.save()
    connection.close()


def test_a_transaction_that_is_managed_by_hand_forgets_too(clinic: Clinic) -> None:
    transaction.set_autocommit(False)
    try:
        clinic.ada.save(update_fields=["bio"])
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert own(clinic.ada) <= clinic.forgotten()


def test_an_invalidator_that_fails_for_any_reason_fails_no_save(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: CacheInvalidator) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CacheInvalidator, "execute", fail)
    clinic.ada.save(update_fields=["bio"])
    with transaction.atomic():
        clinic.ada.save(update_fields=["bio"])
    assert clinic.forgotten() == set()
