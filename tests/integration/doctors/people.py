"""People and departments that tests need many of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from doctors.models import Appointment, Department, Doctor, Patient, Specialty

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
HALF_AN_HOUR = timedelta(minutes=30)


def doctor(**fields: Any) -> Doctor:
    """Return a new doctor."""
    return Doctor.objects.create(**({"first_name": "Ada", "last_name": "Byron"} | fields))


def patient() -> Patient:
    """Return a new patient."""
    return Patient.objects.create(first_name="Rosa", last_name="Example")


def department(name: str, **fields: Any) -> Department:
    """Return a new department."""
    return Department.objects.create(code=name.upper()[:20], name=name, **fields)


def specialty(name: str) -> Specialty:
    """Return a new specialty."""
    return Specialty.objects.create(name=name)


def booked(who: Doctor, start: datetime = NOON) -> Appointment:
    """Return a new appointment of half an hour."""
    return Appointment.book(doctor=who, patient=patient(), start=start, end=start + HALF_AN_HOUR)


def at_once(*steps: Callable[[], Any]) -> list[Any]:
    """Run steps in threads of their own, begun together; return what each returned, or raised."""
    results: list[Any] = [None] * len(steps)
    start = threading.Barrier(len(steps))

    def work(number: int) -> None:
        start.wait()
        try:
            results[number] = steps[number]()
        except Exception as exc:  # noqa: BLE001 - what it is, the test says
            results[number] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[number]) for number in range(len(steps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
