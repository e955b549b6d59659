"""A value of twenty megabytes from a save to an auditor, over a broker that refuses records of more than one."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from tests.acceptance.pipeline.books import Books
from tests.acceptance.pipeline.services import APPLICATION, AUDITOR, Deployment

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

# What Kafka takes by default: message.max.bytes.
LARGEST_RECORD = 1_048_588
BIO = "0123456789" * 2_000_000
SAVES = """
from doctors.models import Doctor
doctor = Doctor.objects.create(first_name="Ada", last_name="Byron", bio="0123456789" * 2_000_000)
doctor.last_name = "Lovelace"
doctor.save()
"""


def test_a_value_of_any_size_is_published_stored_accounted_for_and_given_back(
    deployment: Deployment, books: Books
) -> None:
    deployment.run("saves", "shell", "-v", "0", "-c", SAVES, roles=APPLICATION)
    relay, consumer = deployment.start_relay(), deployment.start_consumer()
    deployment.wait_until(books.settled, what="the value in the audit log")

    published = books.published()
    assert max(len(record.value) for record in published) < LARGEST_RECORD
    chunks = {record.event_id for record in published if record.topic.endswith(".auditlog.blobs")}
    assert len(chunks) == 39
    assert {record.headers["ce_type"] for record in published if record.event_id in chunks} == {
        "auditlog.blobs.chunk.v1"
    }
    assert set(books.committed()) == {record.event_id for record in published}
    account = json.loads(deployment.run("account", "audit_reconcile", "--json", roles=AUDITOR))
    assert account["committed"] == account["published"] == account["stored"] == len(set(books.committed()))
    assert (account["missing"], account["unaccounted"]) == ([], 0)

    content = json.dumps(BIO).encode()
    reference = {"$ref": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    client = APIClient()
    client.force_authenticate(get_user_model().objects.create_superuser("root"))
    events = client.get("/api/audit/v1/events/?model=doctors.doctor").json()["results"]
    updated, created = (event for event in events if event["action"] in {"create", "update"})
    assert created["changes"]["bio"] == [None, reference]
    assert updated["changes"]["last_name"] == ["Byron", "Lovelace"]
    assert "bio" not in updated["changes"]
    answer = client.get(f"/api/audit/v1/events/{updated['event_id']}/values/{reference['$ref']}/")
    assert answer.getvalue() == content
    for process in (relay, consumer):
        assert process.terminate() == 0
