"""What captured events say of an object, once they are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.context import set_actor, set_reason
from auditlog.queries.compiler import Query
from auditlog.queries.events import page
from auditlog.queries.filters import Field, Is
from auditlog.queries.objects import State, Subject, difference, state_at
from auditlog.queries.provenance import Origin
from auditlog.queries.sorting import SEQUENCE, Sort
from auditlog.queries.units import NEEDED, summary
from doctors.models import Department, Doctor, Specialty
from tests.integration.consumers.captured import project

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

AUDITOR = Rights("user:1", frozenset({Scope.READ, Scope.READ_SENSITIVE}))


@pytest.fixture(autouse=True)
def owner(read_model: None) -> None:
    """Read the outbox and the audit log as their owner."""


def doctor_of(doctor: Doctor) -> Subject:
    return Subject("doctors.doctor", str(doctor.pk), AUDITOR)


def known(subject: Subject, at: datetime) -> State:
    state = state_at(subject, at)
    assert state is not None
    assert state.held is not None
    return state


def test_fields_go_by_their_names_with_whoever_set_them_and_why() -> None:
    cardiology, surgery = (Department.objects.create(code=code, name=code) for code in ("CARD", "SURG"))
    with set_actor("importer"), set_reason("onboarding"):
        doctor = Doctor.objects.create(first_name="Ada", last_name="Byron", tax_id="1", department=cardiology)
    hired = datetime.now(UTC)
    doctor.department, doctor.tax_id = surgery, "2"
    with set_actor("registrar"), set_reason("moved"):
        doctor.save()
    with transaction.atomic():
        Doctor.objects.filter(pk=doctor.pk).update(last_name="Lovelace")
        transaction.set_rollback(True)
    project()

    subject, now = doctor_of(doctor), datetime.now(UTC)
    before, after = known(subject, hired).held or {}, known(subject, now).held or {}
    assert (before["department"].value, before["department"].column) == (cardiology.pk, "department_id")
    assert (after["department"].value, after["last_name"].value) == (surgery.pk, "Byron")
    assert {name: (value.deed and value.deed.reason) for name, value in after.items() if name in CHANGED} == CHANGED
    # A mask shows no value, and that it was changed.
    assert (after["tax_id"].value, after["tax_id"].origin) == ("***", Origin.EVENT)
    _old, _new, found = difference(subject, hired, now)
    assert set(found.changes) == {"department", "tax_id", "updated_at"}
    assert (found.appeared, found.disappeared) == ((), ())


CHANGED: dict[str, Any] = {
    "department": "moved",
    "tax_id": "moved",
    "updated_at": "moved",
    "last_name": "onboarding",
    "middle_name": "onboarding",
}


def test_links_are_followed_through_both_ends() -> None:
    doctor = Doctor.objects.create(first_name="Ada", last_name="Byron")
    cardiology, surgery = (Specialty.objects.create(name=name) for name in ("Cardiology", "Surgery"))
    with set_reason("qualified"):
        doctor.specialties.add(cardiology, surgery)
    qualified = datetime.now(UTC)
    cardiology.delete()
    project()

    def targets(at: datetime) -> dict[str, str | None]:
        links = (known(doctor_of(doctor), at).memberships or {})["specialties"]
        return {one.label or "": one.deed.reason if one.deed else None for one in links.members.values()}

    assert targets(qualified) == {"Cardiology": "qualified", "Surgery": "qualified"}
    assert targets(datetime.now(UTC)) == {"Surgery": "qualified"}


def test_a_transaction_is_summed_up_with_the_database_that_numbered_it() -> None:
    with transaction.atomic():
        doctor = Doctor.objects.create(first_name="Ada", last_name="Byron")
        doctor.first_name = "Augusta"
        doctor.save()
    project()
    deed = known(doctor_of(doctor), datetime.now(UTC)).deed
    query = Query(Is(Field.TRANSACTION, (str(deed.transaction_id),)))
    found = summary(query, AUDITOR, page=page(query, AUDITOR, sort=Sort(SEQUENCE), size=10, include=NEEDED))
    touched = found.objects["doctors.doctor", str(doctor.pk)]
    assert dict(touched.actions) == {"create": 1, "update": 1}
    (source,) = found.sources
    assert (source.name, source.timeline) == ("audit", deed.sequence.partition(":")[0])
    assert source.database.startswith("test_clinic")
