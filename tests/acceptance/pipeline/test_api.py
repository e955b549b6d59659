"""One change by a user of the domain's API, as a compliance officer finds it in the audit API."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any

import pytest

from devstack import ports
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import APPLICATION, Deployment, Service

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

SECRET = "900-55-1234"
REQUEST_ID = "change-4711"

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def api(deployment: Deployment) -> tuple[Service, Call]:
    """The API as a process, and a function that calls it over HTTP with a key and returns the answer."""
    port = ports.free_port()
    command = [sys.executable, "-m", "gunicorn", "settings.wsgi", "--no-control-socket", "--access-logfile=-"]
    command += ["--bind", f"{ports.HOST}:{port}"]
    service = deployment.start_program(command, name="api", roles=APPLICATION)

    def call(
        path: str, *, key: str | None = None, method: str = "GET", body: Any = None, request_id: str = "another"
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "X-Request-ID": request_id}
        headers |= {"Authorization": f"Api-Key {key}"} if key else {}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{ports.HOST}:{port}{path}", data, headers, method=method)
        response: HTTPResponse
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.loads(response.read())
            return answer

    def answers() -> bool:
        try:
            return bool(call("/readyz"))
        except OSError:  # nobody listens, or not yet
            return False

    deployment.wait_until(answers, what="the API")
    return service, call


# Makes two users with a key each, in a process of the deployment, so that their own events are published too.
USERS = """
import json
from django.contrib.auth.models import Permission, User
from auditlog import api_keys
for name, permissions in (
    ("m.okonkwo", ["add_specialty", "add_doctor", "change_doctor", "view_doctor"]), ("auditor", ["view_auditlog"])
):
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    print(json.dumps([user.pk, api_keys.issue(user=user, name="test")]))
"""


def test_i9_i10_a_change_over_http_is_found_with_its_author_and_without_its_secret(
    deployment: Deployment, books: Books, api: tuple[Service, Call]
) -> None:
    service, call = api
    printed = deployment.run("users", "shell", "-v", "0", "-c", USERS, roles=APPLICATION)
    (editor, editors_key), (_auditor, auditors_key) = map(json.loads, printed.splitlines())

    def make(path: str, **body: Any) -> int:
        return int(call(path, key=editors_key, method="POST", body=body)["id"])

    cardiology, surgery = (make("/api/specialties/", name=name) for name in ("Cardiology", "Surgery"))
    doctor = make("/api/doctors/", first_name="Ada", last_name="Byron", email="a@example.org", tax_id="900-55-0000")

    change = {"email": "b@example.org", "tax_id": SECRET, "specialties": [cardiology, surgery]}
    call(f"/api/doctors/{doctor}/", key=editors_key, method="PATCH", body=change, request_id=REQUEST_ID)
    assert books.query("SELECT tax_id FROM doctors_doctor") == [{"tax_id": SECRET}]
    waiting = books.query("SELECT * FROM auditlog_outboxevent")
    assert len(waiting) == books.counts().pending > 0
    assert_private(waiting)

    relay, consumer = deployment.start_relay(), deployment.start_consumer()
    deployment.wait_until(books.settled, what="the change in the audit log")
    found = call(f"/api/audit/v1/events/?request_id={REQUEST_ID}&object_pk={doctor}", key=auditors_key)["results"]
    # Newest first; the domain's own consequence of the membership is one more.
    tags, link, update = found
    assert (link["action"], set(tags["changes"])) == ("m2m.add", {"search_tags", "updated_at"})

    assert (update["model"], update["object_repr"]) == ("doctors.doctor", "Dr Ada Byron")
    assert update["actor"] == {"id": str(editor), "repr": "m.okonkwo", "type": "api_key", "on_behalf_of": None}
    assert (update["request_id"], update["remote_addr"]) == (REQUEST_ID, "127.0.0.1")
    assert set(update["changes"]) == {"email", "tax_id", "updated_at"}
    assert update["changes"]["email"] == ["a@example.org", "b@example.org"]
    assert update["changes"]["tax_id"] == ["***", "***"]
    assert link["m2m"] == {
        "field": "specialties",
        "target_model": "doctors.specialty",
        "added": sorted([str(cardiology), str(surgery)], key=int),
        "removed": [],
        "through": None,
        "labels": {str(cardiology): "Cardiology", str(surgery): "Surgery"},
    }
    assert (link["actor"], link["request_id"]) == (update["actor"], REQUEST_ID)
    assert link["transaction_id"] == update["transaction_id"]

    assert_private(found, [call(f"/api/audit/v1/events/{event['event_id']}/", key=auditors_key) for event in found])
    assert_private(books.published(), assert_balanced(books))
    for process in (service, relay, consumer):
        assert process.terminate() == 0
        assert_private(process.logged() + process.printed())


def assert_private(*texts: Any) -> None:
    """Check that the secret stands nowhere."""
    for text in texts:
        assert text
        assert SECRET not in str(text)
