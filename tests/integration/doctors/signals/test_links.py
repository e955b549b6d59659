"""m2m_changed: search tags follow specialties, and closed departments take nobody, from either side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from doctors.models import Department, Doctor
from tests.conftest import Events, WaitUntil
from tests.integration.doctors.people import at_once, department, doctor, specialty

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]


def tags(who: Doctor) -> list[str]:
    return Doctor.objects.values_list("search_tags", flat=True).get(pk=who.pk)


def test_tags_are_the_names_of_the_specialties_after_each_kind_of_change() -> None:
    who = doctor()
    urology, surgery, cardiology = (specialty(name) for name in ("Urology", "Surgery", "Cardiology"))

    who.specialties.add(urology, surgery)
    assert who.search_tags == tags(who) == ["Surgery", "Urology"]
    who.specialties.remove(urology)
    assert who.search_tags == tags(who) == ["Surgery"]
    who.specialties.set([cardiology, urology])
    assert who.search_tags == tags(who) == ["Cardiology", "Urology"]
    who.specialties.clear()
    assert who.search_tags == tags(who) == []


def test_tags_follow_changes_from_the_side_of_the_specialty() -> None:
    first, second = doctor(), doctor()
    surgery, urology = specialty("Surgery"), specialty("Urology")

    surgery.doctors.add(first, second)
    urology.doctors.set([first])
    assert [tags(first), tags(second)] == [["Surgery", "Urology"], ["Surgery"]]
    surgery.doctors.remove(second)
    assert [tags(first), tags(second)] == [["Surgery", "Urology"], []]
    surgery.doctors.clear()
    assert [tags(first), tags(second)] == [["Urology"], []]


def test_tags_follow_the_name_and_the_end_of_a_specialty(events: Events) -> None:
    who, other = doctor(), doctor()
    surgery = specialty("Surgery")
    surgery.doctors.add(who)
    events()

    surgery.name = "General surgery"
    surgery.save()
    assert tags(who) == ["General surgery"]
    surgery.delete()
    assert [tags(who), tags(other)] == [[], []]

    updates = [event for event in events() if event["op"] == "u" and event["audit"]["model"] == "doctors.doctor"]
    assert [(event["before"]["search_tags"], event["after"]["search_tags"]) for event in updates] == [
        (["Surgery"], ["General surgery"]),
        (["General surgery"], []),
    ]


def test_what_changes_no_tag_writes_no_doctor(events: Events) -> None:
    who, surgery = doctor(), specialty("Surgery")
    who.specialties.add(surgery)
    events()

    who.specialties.add(surgery)
    surgery.description = "With knives"
    surgery.save()

    assert [event["audit"]["model"] for event in events()] == ["doctors.specialty"]


def test_a_long_name_is_cut_to_the_length_of_a_tag() -> None:
    who = doctor()
    who.specialties.add(specialty("x" * 150))
    assert tags(who) == ["x" * 100]


def test_specialties_added_by_many_at_once_are_all_tags() -> None:
    who = doctor()
    found = [specialty(f"Specialty {number}") for number in range(6)]

    from_either_side = [
        *[partial(one.doctors.add, who) for one in found[:3]],
        *[partial(Doctor.objects.get(pk=who.pk).specialties.add, one) for one in found[3:]],
    ]
    assert at_once(*from_either_side) == [None] * 6

    assert tags(who) == [one.name for one in found]


def test_links_that_are_rolled_back_leave_the_tags_alone() -> None:
    who = doctor()
    with transaction.atomic():
        who.specialties.add(specialty("Surgery"))
        transaction.set_rollback(True)
    assert tags(who) == []


BOTH_SIDES: list[Callable[[Doctor, Department], Any]] = [
    lambda who, where: who.departments.add(where),
    lambda who, where: who.departments.set([where]),
    lambda who, where: where.doctors.add(who),
    lambda who, where: where.doctors.set([who]),
]


@pytest.mark.parametrize("assign", BOTH_SIDES)
def test_an_inactive_department_takes_nobody_from_either_side(
    assign: Callable[[Doctor, Department], Any], events: Events
) -> None:
    who, closed = doctor(), department("Radiology", is_active=False)
    events()

    with pytest.raises(ValidationError) as refused:
        assign(who, closed)

    assert refused.value.message_dict == {"departments": ["Cannot assign inactive department: Radiology."]}
    assert not who.departments.exists()
    assert events() == []


def test_of_several_departments_none_is_assigned_if_one_is_inactive() -> None:
    who = doctor()
    active, closed = department("Cardiology"), department("Radiology", is_active=False)

    with pytest.raises(ValidationError):
        who.departments.add(active, closed)

    assert not who.departments.exists()


def test_those_who_are_there_stay_when_their_department_is_closed() -> None:
    who, where, other = doctor(), department("Radiology"), department("Cardiology")
    who.departments.add(where)
    where.is_active = False
    where.save()

    who.departments.add(where)
    who.departments.set([where, other])

    assert set(who.departments.all()) == {where, other}
    who.departments.remove(where)
    with pytest.raises(ValidationError):
        who.departments.add(where)


def test_nobody_is_assigned_to_a_department_that_is_being_closed(
    owner_connection: psycopg.Connection[Any], wait_until: WaitUntil
) -> None:
    who, where = doctor(), department("Radiology")
    results: list[Any] = []
    assignment = threading.Thread(target=lambda: results.extend(at_once(lambda: where.doctors.add(who))))

    with owner_connection.transaction():
        owner_connection.execute("UPDATE doctors_department SET is_active = false WHERE id = %s", [where.pk])
        assignment.start()
        wait_until(lambda: owner_connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
    assignment.join()

    assert [type(result) for result in results] == [ValidationError]
    assert not who.departments.exists()


def test_nobody_is_moved_into_an_inactive_department_as_the_main_one_either(events: Events) -> None:
    closed, where = department("Radiology", is_active=False), department("Cardiology")
    who = doctor(department=where)
    events()

    who.department = closed
    for save in (who.save, partial(who.save, update_fields=["department"]), partial(doctor, department=closed)):
        with pytest.raises(ValidationError) as refused:
            save()
        assert refused.value.message_dict == {"department": ["Cannot assign inactive department: Radiology."]}

    assert Doctor.objects.get().department == where
    assert events() == []


def test_who_is_in_a_department_when_it_is_closed_can_still_be_changed_without_more_statements() -> None:
    where = department("Cardiology")
    made = doctor(department=where)
    Department.objects.update(is_active=False)
    for who in (made, Doctor.objects.get()):
        who.bio = "new"
        with CaptureQueriesContext(connection) as queries:
            who.save()
        assert [query["sql"].split()[0] for query in queries] == ["UPDATE"]
