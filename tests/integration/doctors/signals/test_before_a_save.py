"""pre_save: the licence is checked, the address normalized, the slug made; set-based writes keep the same rules."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from doctors.models import Doctor, DoctorProfile
from tests.conftest import Events
from tests.integration.doctors.people import at_once, doctor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]


def of_doctors(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["audit"]["model"] == "doctors.doctor"]


@pytest.mark.parametrize("number", ["XX123", "md123", "123MD", " MD123"])
def test_a_licence_that_does_not_begin_with_md_is_refused_before_anything_is_written(
    number: str, events: Events
) -> None:
    with pytest.raises(ValidationError) as refused:
        doctor(license_number=number)
    with pytest.raises(ValidationError) as refused_in_bulk:
        Doctor.objects.bulk_create([Doctor(last_name="Greystoke"), Doctor(last_name="Byron", license_number=number)])

    expected = {"license_number": ["License number must start with 'MD'."]}
    assert refused.value.message_dict == refused_in_bulk.value.message_dict == expected
    assert not Doctor.objects.exists()
    assert events() == []


def test_a_licence_may_be_empty_and_many_may_be_missing() -> None:
    doctor(license_number="MD12345")
    doctor(license_number=None)
    doctor(license_number=None)
    assert Doctor.objects.filter(license_number=None).count() == 2


def test_the_database_refuses_a_licence_that_no_signal_saw() -> None:
    who = doctor(license_number="MD12345")

    with pytest.raises(IntegrityError, match="doctors_doctor_licence_begins_with_md"), transaction.atomic():
        Doctor.objects.filter(pk=who.pk).update(license_number="12345")

    assert Doctor.objects.get(pk=who.pk).license_number == "MD12345"


def test_an_address_is_normal_in_the_instance_the_row_and_the_event(events: Events) -> None:
    who = doctor(email="  Ada.Byron@Clinic.EXAMPLE ")

    (created,) = of_doctors(events())
    stored = Doctor.objects.values_list("email", flat=True).get(pk=who.pk)
    assert who.email == stored == created["after"]["email"] == "ada.byron@clinic.example"


def test_set_based_writes_and_look_ups_normalize_as_a_save_does() -> None:
    (first,) = Doctor.objects.bulk_create([Doctor(last_name="Byron", email="ADA@clinic.example")])
    second = doctor()
    Doctor.objects.filter(pk=second.pk).update(email="Bram@CLINIC.example")
    assert first.email == "ada@clinic.example"
    assert Doctor.objects.get(email="ADA@CLINIC.example") == first
    assert Doctor.objects.get(email__in=["BRAM@clinic.example"]) == second

    second.email = "GRETA@clinic.example"
    Doctor.objects.bulk_update([second], ["email"])
    assert Doctor.objects.values_list("email", flat=True).get(pk=second.pk) == "greta@clinic.example"


def test_a_blank_address_is_none_so_that_it_collides_with_nobody() -> None:
    assert [doctor(email=blank).email for blank in ("", "  ", None)] == [None, None, None]


def test_of_two_doctors_who_ask_for_one_address_at_once_one_gets_it() -> None:
    results = at_once(
        lambda: doctor(email="ada@clinic.example"), lambda: doctor(email="Ada@Clinic.Example", last_name="Lovelace")
    )

    assert sorted(type(result).__name__ for result in results) == ["Doctor", "IntegrityError"]
    assert Doctor.objects.count() == DoctorProfile.objects.count() == 1


def test_the_database_tells_addresses_apart_in_any_case() -> None:
    doctor(email="ada@clinic.example")
    who = doctor()
    with (
        pytest.raises(IntegrityError, match="doctors_doctor_email_once_in_any_case"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE doctors_doctor SET email = 'ADA@clinic.example' WHERE id = %s", [who.pk])


def test_a_new_doctor_is_one_insert_and_one_event_with_the_final_slug(events: Events) -> None:
    who = Doctor(first_name="Ada", last_name="Byron", email="ada@clinic.example")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        who.save()

    verbs = [query["sql"].split()[0] for query in queries if "doctors_doctor" in query["sql"]]
    assert verbs == ["SELECT", "INSERT", "INSERT", "INSERT"], "the key, the doctor, the profile, the welcome mail"
    (event,) = of_doctors(events())
    assert (event["op"], event["after"]["slug"], event["after"]["id"]) == ("c", f"ada-byron-{who.pk}", who.pk)


def test_a_slug_holds_the_key_and_stays_when_the_name_changes() -> None:
    who = doctor(first_name="Zoë", last_name="D'Ambrosio")
    assert who.slug == f"zoe-dambrosio-{who.pk}"

    who.last_name = "Lovelace"
    who.save()
    who.save(update_fields=["last_name"])

    assert Doctor.objects.get(pk=who.pk).slug == f"zoe-dambrosio-{who.pk}"


def test_a_slug_is_made_of_whatever_the_names_are_and_fits_its_column() -> None:
    nameless = doctor(first_name="", last_name="李")
    long = doctor(first_name="x" * 100, last_name="y" * 100)
    longest = Doctor(pk=2**62, first_name="x" * 100, last_name="y" * 100)
    longest.save()
    given = doctor(slug="the-one-and-only")

    assert nameless.slug == str(nameless.pk)
    assert long.slug == f"{'x' * 100}-{'y' * 100}-{long.pk}"
    assert longest.slug.endswith(f"y-{2**62}")
    assert len(longest.slug) <= 220
    assert given.slug == "the-one-and-only"


def test_a_key_and_a_slug_are_ready_before_a_bulk_insert_which_stays_one_statement(events: Events) -> None:
    doctors = [Doctor(first_name="Ada", last_name=f"Byron {number}") for number in range(20)]
    with CaptureQueriesContext(connection) as queries:
        Doctor.objects.bulk_create(doctors)

    verbs = [query["sql"].split()[0] for query in queries if "doctors_doctor" in query["sql"]]
    assert verbs == ["SELECT", "INSERT"]
    created = {event["after"]["id"]: event["after"]["slug"] for event in of_doctors(events())}
    assert created == {who.pk: f"ada-byron-{number}-{who.pk}" for number, who in enumerate(doctors)}


def test_a_bulk_insert_whose_conflicts_the_database_resolves_claims_no_keys() -> None:
    held = doctor(npi="1234567893")
    doctors = [Doctor(last_name="Other", npi="1234567893"), Doctor(last_name="New", npi="2000000028")]

    Doctor.objects.bulk_create(doctors, ignore_conflicts=True)

    assert [who.pk for who in doctors] == [None, None]
    assert Doctor.objects.get(npi="1234567893") == held
    made = Doctor.objects.get(npi="2000000028")
    assert made.slug == f"new-{made.pk}"


def test_many_creates_at_once_get_slugs_of_their_own() -> None:
    results = at_once(*[doctor for _ in range(8)])

    assert {who.slug for who in results} == {f"ada-byron-{who.pk}" for who in Doctor.objects.all()}
    assert len({who.pk for who in results}) == 8


def test_a_save_of_a_few_columns_loads_no_other() -> None:
    who = doctor(email="ada@clinic.example", license_number="MD1")
    # The names are the text of the event, the slug is a key of the cache.
    held = Doctor.objects.only("is_active", "first_name", "last_name", "slug").get(pk=who.pk)
    held.is_active = False
    with CaptureQueriesContext(connection) as queries:
        held.save(update_fields=["is_active"])

    assert [query["sql"].split()[0] for query in queries] == ["UPDATE"]


def test_a_fixture_brings_its_own_rows_and_may_be_loaded_again(tmp_path: Any) -> None:
    who = doctor(email="ada@clinic.example")
    who.profile.website = "https://clinic.example"
    who.profile.save()
    slug, path = who.slug, tmp_path / "doctors.json"
    call_command("dumpdata", "doctors.doctor", "doctors.doctorprofile", output=str(path))
    who.delete()

    for _ in range(2):
        call_command("loaddata", str(path), verbosity=0)

    assert Doctor.objects.get().slug == slug
    assert DoctorProfile.objects.get().website == "https://clinic.example"
