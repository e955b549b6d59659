"""The domain API: CRUD, permissions, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from doctors.models import Appointment, Department, Doctor, Patient, PracticeLocation, Specialty
from tests.conftest import Events
from tests.integration.doctors.conftest import Client

pytestmark = pytest.mark.django_db(transaction=True)

RESOURCES = ("doctors", "departments", "specialties", "practice-locations", "patients", "appointments", "profiles")


@pytest.fixture
def admin(client_of: Client) -> APIClient:
    return client_of(superuser=True)


@pytest.fixture
def doctor() -> Doctor:
    return Doctor.objects.create(first_name="Ada", last_name="Byron", npi="1234567893", email="ada@clinic.example")


def test_a_doctor_is_created_read_changed_and_deleted(admin: APIClient, events: Events) -> None:
    department = Department.objects.create(code="CARD", name="Cardiology")
    specialty = Specialty.objects.create(name="Surgery")
    body = {
        "first_name": "Ada",
        "last_name": "Byron",
        "npi": "1234567893",
        "email": "Ada@Clinic.example",
        "consultation_fee": "120.50",
        "tax_id": "98-7654321",
        "department": department.pk,
        "departments": [department.pk],
        "specialties": [specialty.pk],
    }
    events()

    created = admin.post("/api/doctors/", body)
    made = created.json()

    assert created.status_code == 201, made
    slug = f"ada-byron-{made['id']}"
    assert (made["slug"], made["email"], made["consultation_fee"]) == (slug, "ada@clinic.example", "120.50")
    assert made["search_tags"] == ["Surgery"]
    assert "tax_id" not in made
    address = f"/api/doctors/{made['id']}/"
    assert admin.get(address).json() == made
    assert admin.patch(address, {"last_name": "Lovelace"}).json()["slug"] == slug
    assert admin.delete(address).status_code == 204
    assert admin.get(address).status_code == 404
    actions = [event["audit"]["action"] for event in events() if event["audit"]["model"] == "doctors.doctor"]
    assert actions == ["create", "m2m.add", "m2m.add", "update", "update", "m2m.remove", "m2m.remove", "delete"]


def test_every_resource_lists_creates_and_shows(admin: APIClient, doctor: Doctor) -> None:
    patient = Patient.objects.create(first_name="Rosa", last_name="Example")
    (imported,) = Doctor.objects.bulk_create([Doctor(first_name="Bram", last_name="Greystoke")])
    bodies: dict[str, dict[str, Any]] = {
        "departments": {"code": "CARD", "name": "Cardiology", "head": doctor.pk},
        "specialties": {"name": "Cardiology"},
        "practice-locations": {
            "doctor": doctor.pk,
            "adrs_id": "X1",
            "address_line_1": "1 Maple Ave",
            "city": "Easthaven",
            "state": "CT",
            "zip": "06512",
        },
        "patients": {"first_name": "Max", "last_name": "Example", "ssn": "900-00-1234"},
        "appointments": {
            "doctor": doctor.pk,
            "patient": patient.pk,
            "start": "2026-12-01T09:00:00Z",
            "end": "2026-12-01T09:30:00Z",
        },
        "profiles": {"doctor": imported.pk, "languages": ["en", "es"]},
    }
    for resource, body in bodies.items():
        created = admin.post(f"/api/{resource}/", body)
        assert created.status_code == 201, created.json()
        assert "ssn" not in created.json()
        assert admin.get(f"/api/{resource}/{created.json()['id']}/").json() == created.json()
        assert created.json() in admin.get(f"/api/{resource}/").json()["results"]


@pytest.mark.parametrize("resource", RESOURCES)
def test_nobody_gets_in_without_credentials_or_permission(client_of: Client, resource: str) -> None:
    address = f"/api/{resource}/"

    assert APIClient().get(address).status_code in {401, 403}
    assert client_of().get(address).status_code == 403


def test_each_method_needs_its_own_permission(client_of: Client, doctor: Doctor) -> None:
    viewer = client_of("view_doctor", username="viewer")
    changer = client_of("change_doctor", username="changer")
    address = f"/api/doctors/{doctor.pk}/"

    assert viewer.get(address).status_code == 200
    assert viewer.patch(address, {"bio": "x"}).status_code == 403
    assert viewer.post(f"{address}deactivate/").status_code == 403
    assert viewer.post("/api/doctors/", {}).status_code == 403
    assert viewer.delete(address).status_code == 403
    assert changer.get(address).status_code == 403
    assert changer.patch(address, {"bio": "x"}).status_code == 200
    assert changer.post(f"{address}deactivate/").status_code == 200
    assert changer.delete(address).status_code == 403


def test_activation_changes_the_row_and_records_an_event_once(admin: APIClient, doctor: Doctor, events: Events) -> None:
    address = f"/api/doctors/{doctor.pk}/"
    events()

    assert admin.post(f"{address}deactivate/").json()["is_active"] is False
    assert admin.post(f"{address}deactivate/").json()["is_active"] is False
    assert admin.post(f"{address}activate/").json()["is_active"] is True

    recorded = [(event["audit"]["action"], event["audit"]["data"]) for event in events()]
    assert recorded == [
        ("update", None),
        ("deactivated", {"previous": True}),
        ("update", None),
        ("activated", {"previous": False}),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"surname": "Byron"},
        {"first_name": "A\u0000da"},
        {"first_name": "A\ud800da"},
        {"first\u0000name": "Ada"},
        {"\ud800": "Ada"},
        {"gender": "\ud800"},
        {"npi": "1234567890"},
        {"email": "nowhere"},
        {"consultation_fee": "-1.00"},
        {"consultation_fee": "1e400"},
        {"consultation_fee": "NaN"},
        {"hire_date": "0000-13-45"},
        {"department": 10**30},
        {"departments": ["x"]},
        {"license_number": "XX123"},
        {"graduation_year": 99_999},
        {"last_name": ""},
        {"last_name": None},
        {"is_active": "perhaps"},
    ],
)
def test_a_bad_value_is_refused(admin: APIClient, doctor: Doctor, body: dict[str, Any]) -> None:
    # Written here, because the client's own encoder refuses half a surrogate pair.
    text = json.dumps(body)
    response = admin.generic("PATCH", f"/api/doctors/{doctor.pk}/", text, content_type="application/json")

    assert response.status_code == 400, response.content
    doctor.refresh_from_db()
    assert (doctor.first_name, doctor.last_name) == ("Ada", "Byron")


@pytest.mark.parametrize("content", [b"{", b"[]", b"3", b"null", b'{"a": NaN}', b"\xff", b"[" * 100_000])
def test_a_malformed_body_is_refused(admin: APIClient, content: bytes) -> None:
    response = admin.post("/api/doctors/", content, content_type="application/json")

    assert response.status_code == 400, response.content


@pytest.mark.parametrize("logs_in", ["session", "key"])
def test_a_body_of_ten_megabytes_is_refused(admin: APIClient, doctor: Doctor, logs_in: str) -> None:
    if logs_in == "key":
        # Without a session nothing has looked for a CSRF token: the parser is the first to read.
        admin = APIClient()
        admin.force_authenticate(get_user_model().objects.get(username="ada"))
    content = b'{"bio": "' + b"x" * 10_000_000 + b'"}'

    response = admin.patch(f"/api/doctors/{doctor.pk}/", content, content_type="application/json")

    assert response.status_code == 413


@pytest.mark.parametrize(
    "address",
    [
        "doctors/?surname=Byron",
        "doctors/?is_active__exact=true",
        "doctors/?is_active=perhaps",
        "doctors/?department=x",
        "doctors/?department=99999999999999999999999",
        "doctors/?specialty=-1",
        "doctors/?last_name=%00",
        "doctors/?hired_from=yesterday",
        "doctors/?ordering=tax_id",
        "doctors/?npi=1234567893&npi=1",
        "doctors/?page_size=0",
        "doctors/?page_size=501",
        "doctors/?page_size=ten",
        "doctors/?is_active=",
        "doctors/?search=",
        "doctors/?ordering=,",
        "doctors/?ordering=id,,-id",
        "appointments/?from=",
        "appointments/?from=tomorrow",
        "appointments/?from=2026-12-01T09:00:00",
        "appointments/?from=0001-01-01T00:00:00%2B10:00",
        "appointments/?from=9999-12-31T23:59:59-10:00",
        "appointments/?from=2026-13-01T00:00:00Z",
    ],
)
def test_an_unknown_or_impossible_filter_is_refused_by_name(admin: APIClient, address: str) -> None:
    response = admin.get(f"/api/{address}")

    assert response.status_code == 400, response.content
    name = address.partition("?")[2].partition("=")[0]
    assert [error["pointer"] for error in response.json()["errors"]] == [f"/{name}"]


def test_a_time_may_have_an_offset_that_the_database_does_not_know(admin: APIClient) -> None:
    assert admin.get("/api/appointments/?to=0995-01-10T21:16:12-19:18").json()["results"] == []


@pytest.mark.parametrize("key", ["0", "99999999999999999999999", "x", "1%00"])
def test_an_impossible_key_is_not_found(admin: APIClient, key: str) -> None:
    assert admin.get(f"/api/doctors/{key}/").status_code == 404


def test_filters_narrow_and_pages_follow_each_other(admin: APIClient, doctor: Doctor) -> None:
    specialty, other = (Specialty.objects.create(name=name) for name in ("Surgery", "Urology"))
    department = Department.objects.create(code="CARD", name="Cardiology")
    doctor.specialties.add(specialty, other)
    doctor.departments.add(department)
    PracticeLocation.objects.create(
        doctor=doctor, adrs_id="X", address_line_1="1", city="Easthaven", state="CT", zip="06512"
    )
    others = [Doctor.objects.create(first_name="Bram", last_name="Greystoke") for _ in range(2)]

    def found(query: str) -> list[int]:
        return [row["id"] for row in admin.get(f"/api/doctors/?{query}").json()["results"]]

    assert found("") == [doctor.pk, *(row.pk for row in others)]
    assert found("is_active=false") == []
    assert found("is_active=True") == found("")
    for query in ("npi=1234567893", "search=byr", "state=ct", "last_name=Byron", "email=ada@clinic.example"):
        assert found(query) == [doctor.pk]
    assert found(f"specialty={specialty.pk}") == found(f"department={department.pk}") == [doctor.pk]
    assert found("page_size=2&page=2") == [others[1].pk]
    assert found("ordering=-id") == [others[1].pk, others[0].pk, doctor.pk]
    assert admin.get("/api/doctors/?page=9").status_code == 404


def test_what_must_be_unique_is_refused_by_name(admin: APIClient, doctor: Doctor) -> None:
    body = {"first_name": "B", "last_name": "C", "npi": doctor.npi, "email": "ADA@clinic.example"}

    refused = admin.post("/api/doctors/", body)

    assert refused.status_code == 400
    assert Doctor.objects.count() == 1


def test_empty_identifiers_are_none_and_collide_with_nobody(admin: APIClient) -> None:
    for _ in range(2):
        body = {"first_name": "A", "last_name": "B", "npi": "", "email": "", "license_number": ""}
        response = admin.post("/api/doctors/", body)
        assert response.status_code == 201, response.content
    assert list(Doctor.objects.values_list("npi", "email", "license_number")) == [(None, None, None)] * 2


def test_an_appointment_must_end_after_it_starts(admin: APIClient, doctor: Doctor) -> None:
    patient = Patient.objects.create(first_name="Rosa", last_name="Example")
    body = {"doctor": doctor.pk, "patient": patient.pk, "start": "2026-12-01T09:00:00Z", "end": "2026-12-01T09:30:00Z"}
    made = admin.post("/api/appointments/", body).json()

    assert admin.post("/api/appointments/", body | {"end": body["start"]}).status_code == 400
    assert admin.patch(f"/api/appointments/{made['id']}/", {"end": "2026-12-01T08:00:00Z"}).status_code == 400
    listed = admin.get("/api/appointments/?from=2026-12-01T00:00:00Z&to=2026-12-02T00:00:00Z").json()
    assert [row["id"] for row in listed["results"]] == [made["id"]]
    assert admin.get("/api/appointments/?to=2026-12-01T00:00:00Z").json()["results"] == []
    assert Appointment.objects.count() == 1


def test_lists_cost_the_same_number_of_statements_however_long_they_are(
    admin: APIClient, django_assert_num_queries: Any
) -> None:
    surgery = Specialty.objects.create(name="Surgery")
    for number in range(3):
        Doctor.objects.create(first_name="A", last_name=f"B{number}").specialties.add(surgery)

    # Session, user, count, doctors, departments, specialties.
    with django_assert_num_queries(6):
        assert len(admin.get("/api/doctors/").json()["results"]) == 3
