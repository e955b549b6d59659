"""Doctors are found by words, whichever way they were written, and bad questions are refused cleanly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from doctors.models import Doctor, Specialty
from doctors.search import search
from tests.conftest import Events
from tests.integration.doctors.conftest import Client, Importer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_versions]

ADDRESS = "/api/doctors/search/"


def found(text: str) -> list[str]:
    """Return the last names of the doctors that are found, the best match first."""
    return [doctor.last_name for doctor in search(Doctor.objects.all(), text)]


def doctor(last_name: str, **facts: Any) -> Doctor:
    """Return a saved doctor."""
    return Doctor.objects.create(**{"first_name": "Ada", "last_name": last_name, **facts})


def test_words_are_found_by_their_beginnings_in_any_case_and_order() -> None:
    doctor("Byron")
    doctor("Bywater", first_name="Ben")
    assert found("BYRON ada") == ["Byron"]
    assert found("by") == ["Byron", "Bywater"]
    assert found("ada bywater") == []


def test_a_name_counts_more_than_a_specialty_and_that_more_than_a_biography() -> None:
    doctor("Young", bio="Writes about the heart.")
    healer = doctor("Heart")
    surgeon = doctor("Smith")
    surgeon.specialties.add(Specialty.objects.create(name="Heart Surgery"))
    assert found("heart") == ["Heart", "Smith", "Young"]
    healer.delete()
    surgeon.specialties.clear()
    assert found("heart") == ["Young"]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("O'Brien", "o'brien"),
        ("O'Brien", "bri'en o'bri"),
        ("Müller-Lüdenscheidt", "müller-lüden"),
        ("Byron", "byron's"),
        ("Byron", "!byron"),
        ("Byron", "byron:*|x"),
        ("Byron", "'byron"),
        ("Byron", "byron\\"),
        ("Byron", "(byron & )"),
        ("Byron", "<-> byron"),
        ("Byron", 'by"ron'),
        ("李", "李"),
    ],
)
def test_no_sign_in_a_question_has_a_meaning(written: str, asked: str) -> None:
    doctor(written)
    with transaction.atomic():
        assert found(asked) in ([written], [])
    assert found(written) == [written]


def test_what_is_private_is_not_found() -> None:
    doctor("Byron", email="secret@example.org", phone="2025550142", tax_id="98-7654321")
    assert [found(text) for text in ("secret", "2025550142", "98-7654321")] == [[], [], []]


def test_every_way_of_writing_is_found_at_once() -> None:
    ada = doctor("Byron")
    Doctor.objects.bulk_create([Doctor(first_name="Ben", last_name="Bulk")])
    assert found("bulk") == ["Bulk"]
    Doctor.objects.filter(pk=ada.pk).update(last_name="Lovelace")
    assert (found("byron"), found("lovelace")) == ([], ["Lovelace"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE doctors_doctor SET bio = 'analyst' WHERE id = %s", [ada.pk])
    assert found("analyst") == ["Lovelace"]
    Specialty.objects.create(name="Surgery").doctors.add(ada)
    assert found("surgery") == ["Lovelace"]
    Specialty.objects.get().delete()
    ada.delete()
    assert found("surgery") == found("lovelace") == []


def test_imported_doctors_are_found_by_their_npi(import_file: Importer, clinician_file: Path) -> None:
    import_file(clinician_file)
    npi = Doctor.objects.values_list("npi", flat=True)[0]
    assert [made.npi for made in search(Doctor.objects.all(), npi or "")] == [npi]


def test_a_rollback_is_not_found() -> None:
    with transaction.atomic():
        doctor("Byron")
        transaction.set_rollback(True)
    assert found("byron") == []


def test_i8_a_biography_of_any_size_is_saved() -> None:
    doctor("Byron", bio=" ".join(f"word{number}" for number in range(300_000)))
    assert found("word1 byron") == ["Byron"]


def test_the_words_are_in_no_image(events: Events) -> None:
    doctor("Byron")
    image = next(event["after"] for event in events() if event["source"]["table"] == "doctors_doctor")
    assert image.keys() == {field.column for field in Doctor._meta.local_concrete_fields}


def test_a_search_uses_its_index() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = search(Doctor.objects.all(), "ada byron").explain()
    assert "doctors_doctor_words" in plan


def test_the_api_pages_through_the_best_matches(client_of: Client) -> None:
    for number in range(3):
        doctor(f"Heart{number}", is_active=number != 1)
    doctor("Young", bio="heart")
    client = client_of("view_doctor")
    page = client.get(ADDRESS, {"q": "heart", "page_size": "2"}).json()
    assert page["count"] == 4
    assert [row["last_name"] for row in page["results"]] == ["Heart0", "Heart1"]
    last = client.get(page["next"]).json()
    assert [row["last_name"] for row in last["results"]] == ["Heart2", "Young"]
    active = client.get(ADDRESS, {"q": "heart", "is_active": "true"}).json()
    assert [row["last_name"] for row in active["results"]] == ["Heart0", "Heart2", "Young"]
    assert "tax_id" not in page["results"][0]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "   "}, "q"),
        ({"q": "!&|'"}, "q"),
        ({"q": "a" * 201}, "q"),
        ({"q": "a\x00b"}, "q"),
        ({"q": ["a", "b"]}, "q"),
        ({"q": "a", "page_size": "0"}, "page_size"),
        ({"q": "a", "unknown": "1"}, "unknown"),
    ],
)
def test_a_bad_question_is_refused_with_its_reason(
    client_of: Client, query: dict[str, str | list[str]], pointer: str
) -> None:
    answer = client_of("view_doctor").get(ADDRESS, query)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{pointer}"]


def test_searching_needs_the_right_to_view_doctors(client_of: Client) -> None:
    assert client_of("view_patient").get(ADDRESS, {"q": "a"}).status_code == 403
