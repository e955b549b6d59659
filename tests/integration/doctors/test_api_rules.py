"""The rules of the domain in the API: each refusal is a clean 400 that names the field, also when it is a race."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from doctors.models import Appointment, Doctor
from tests.conftest import Events
from tests.integration.doctors.conftest import Client
from tests.integration.doctors.people import at_once, booked, department, doctor, patient

pytestmark = pytest.mark.django_db(transaction=True)

BODY = {"first_name": "Ada", "last_name": "Byron"}


@pytest.fixture
def admin(client_of: Client) -> APIClient:
    return client_of(superuser=True)


def refusals(response: Any) -> list[tuple[str, str]]:
    """Return pointer and code of each error of a refused request."""
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def visit(who: Doctor, **fields: Any) -> dict[str, Any]:
    """Return the body of a booking."""
    times = {"start": "2026-12-01T12:00:00Z", "end": "2026-12-01T12:30:00Z"}
    return {"doctor": who.pk, "patient": patient().pk, **times, **fields}


def actions(events: list[dict[str, Any]], model: str) -> list[str]:
    return [event["audit"]["action"] for event in events if event["audit"]["model"] == model]


def test_a_licence_that_is_none_is_refused_by_its_name(admin: APIClient) -> None:
    assert refusals(admin.post("/api/doctors/", BODY | {"license_number": "XX1"})) == [
        ("/license_number", "invalid_licence")
    ]
    assert admin.post("/api/doctors/", BODY | {"license_number": "MD1"}).status_code == 201


def test_of_two_requests_for_one_address_at_once_one_is_refused_by_name(client_of: Client) -> None:
    clients = [client_of(username=name, superuser=True) for name in ("ada", "bram")]
    bodies = [BODY | {"email": "ada@clinic.example"}, BODY | {"email": "ADA@Clinic.example"}]

    responses = at_once(
        *[partial(client.post, "/api/doctors/", body) for client, body in zip(clients, bodies, strict=True)]
    )

    made, refused = sorted(responses, key=lambda response: int(response.status_code))
    assert made.status_code == 201
    assert ("/email", "unique") in refusals(refused)
    assert Doctor.objects.count() == 1


def test_a_closed_department_is_refused_and_the_doctor_not_made(admin: APIClient, events: Events) -> None:
    closed = department("Radiology", is_active=False)
    who = doctor()
    events()

    assert refusals(admin.post("/api/doctors/", BODY | {"departments": [closed.pk]})) == [
        ("/departments", "inactive_department")
    ]
    assert refusals(admin.patch(f"/api/doctors/{who.pk}/", {"bio": "new", "departments": [closed.pk]})) == [
        ("/departments", "inactive_department")
    ]

    assert refusals(admin.patch(f"/api/doctors/{who.pk}/", {"department": closed.pk})) == [
        ("/department", "inactive_department")
    ]

    held = Doctor.objects.get()
    assert (held.pk, held.bio, held.department) == (who.pk, "", None)
    assert events() == []


def test_a_post_books_and_leaves_the_event(admin: APIClient, events: Events) -> None:
    body = visit(doctor(), reason="Annual check", status="confirmed")
    events()

    made = admin.post("/api/appointments/", body)

    assert made.status_code == 201, made.content
    assert (made.json()["status"], made.json()["reason"]) == ("confirmed", "Annual check")
    taken = events()
    assert actions(taken, "doctors.appointment") == ["create", "booked"]
    assert {event["audit"]["actor"]["repr"] for event in taken} == {"ada"}


def test_what_cannot_be_booked_is_refused_by_name(admin: APIClient, events: Events) -> None:
    who = doctor()
    booked(who)
    events()

    taken = refusals(admin.post("/api/appointments/", visit(who)))
    over = refusals(admin.post("/api/appointments/", visit(doctor(), status="completed")))
    inactive = refusals(admin.post("/api/appointments/", visit(doctor(is_active=False))))
    backwards = refusals(admin.post("/api/appointments/", visit(who, end="2026-12-01T11:00:00Z")))

    assert taken == [("", "double_booking")]
    assert over == [("/status", "not_pending")]
    assert inactive == [("/doctor", "inactive_doctor")]
    assert backwards == [("/end", "ends_before_start")]
    assert actions(events(), "doctors.appointment") == []


def test_of_two_bookings_of_one_hour_at_once_one_is_refused(client_of: Client) -> None:
    clients = [client_of(username=name, superuser=True) for name in ("ada", "bram")]
    body = visit(doctor())

    responses = at_once(*[partial(client.post, "/api/appointments/", body) for client in clients])

    made, refused = sorted(responses, key=lambda response: int(response.status_code))
    assert made.status_code == 201
    assert [code for _, code in refusals(refused)] == ["double_booking"]
    assert Appointment.objects.count() == 1


def test_an_appointment_cannot_be_moved_onto_another_one(admin: APIClient) -> None:
    who = doctor()
    booked(who)
    other = admin.post(
        "/api/appointments/", visit(who, start="2026-12-01T13:00:00Z", end="2026-12-01T13:30:00Z")
    ).json()

    moved = admin.patch(f"/api/appointments/{other['id']}/", {"start": "2026-12-01T12:29:00Z"})

    assert [code for _, code in refusals(moved)] == ["double_booking"]


def test_a_cancellation_says_who_and_why(admin: APIClient, events: Events) -> None:
    address = f"/api/appointments/{booked(doctor()).pk}/"
    events()

    cancelled = admin.post(f"{address}cancel/", {"reason": "Patient is ill"})

    assert cancelled.status_code == 200
    assert (cancelled.json()["status"], cancelled.json()["cancellation_reason"]) == ("cancelled", "Patient is ill")
    assert admin.get(address).json() == cancelled.json()
    assert admin.post(f"{address}cancel/").status_code == 200
    taken = events()
    assert actions(taken, "doctors.appointment") == ["update", "cancelled"]
    assert taken[1]["audit"]["data"] == {"previous": "scheduled", "reason": "Patient is ill"}
    assert taken[1]["audit"]["actor"]["repr"] == "ada"


def test_a_changed_status_cancels_as_well_and_keeps_what_else_was_changed(admin: APIClient, events: Events) -> None:
    address = f"/api/appointments/{booked(doctor()).pk}/"
    events()

    changed = admin.patch(address, {"status": "cancelled", "notes": "by telephone"}).json()

    assert (changed["status"], changed["notes"]) == ("cancelled", "by telephone")
    assert actions(events(), "doctors.appointment") == ["update", "update", "cancelled"]


def test_what_is_over_or_unknown_or_not_allowed_is_not_cancelled(client_of: Client, admin: APIClient) -> None:
    appointment = booked(doctor())
    address = f"/api/appointments/{appointment.pk}/cancel/"
    viewer, changer = (client_of(f"{verb}_appointment", username=verb) for verb in ("view", "change"))

    assert viewer.post(address).status_code == 403
    assert admin.post("/api/appointments/0/cancel/").status_code == 404
    assert refusals(admin.post(address, {"why": "x"})) == [("/why", "unknown_field")]
    assert refusals(admin.post(address, {"reason": 7})) == [("/reason", "invalid")]
    for reason in ("x" * 501, "x" + " " * 500):
        assert refusals(admin.post(address, {"reason": reason})) == [("/reason", "max_length")]
    Appointment.objects.update(status="no_show")
    assert refusals(changer.post(address)) == [("", "appointment_over")]
    Appointment.objects.update(status="scheduled")
    assert changer.post(address).status_code == 200


def test_a_deactivation_cancels_what_is_pending(admin: APIClient, events: Events) -> None:
    who = doctor()
    appointment = booked(who)
    events()

    assert admin.post(f"/api/doctors/{who.pk}/deactivate/").json()["is_active"] is False

    appointment.refresh_from_db()
    assert (appointment.status, appointment.cancellation_reason) == ("cancelled", "Doctor deactivated")
    assert {event["audit"]["actor"]["repr"] for event in events()} == {"ada"}


def test_is_active_may_be_written_as_a_column_too_and_acts_as_the_transition(admin: APIClient, events: Events) -> None:
    who = doctor()
    booked(who)
    events()

    assert admin.patch(f"/api/doctors/{who.pk}/", {"is_active": False}).json()["is_active"] is False

    assert not Appointment.objects.pending().exists()
    assert actions(events(), "doctors.doctor") == ["update", "deactivated"]
