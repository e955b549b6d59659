"""Role x resource x object: no answer holds a trace of what its caller may not see, by whatever way it is asked for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.access import grants
from auditlog.access.scopes import Scope
from auditlog.models import AccessGrant, ApiKey
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

API = "/api/audit/v1/"
APPOINTMENT, DOCTOR = "doctors.appointment", "doctors.doctor"
READ, OWN, SENSITIVE = Scope.READ, Scope.READ_OWN, Scope.READ_SENSITIVE
LARGE = {"$ref": "a" * 64, "bytes": 70_000}
# Which of the events each role sees, and whether also their restricted values.
SEEN = {
    "nobody": (set[str](), False),
    "own": ({"mine"}, False),
    "reader": ({"mine", "three", "four", "doctor"}, False),
    "officer": ({"mine", "three", "four", "doctor"}, True),
    "department": ({"three"}, False),
    "model": ({"doctor"}, False),
    "key": ({"three"}, True),
    "superuser": ({"mine", "three", "four", "doctor"}, True),
}
GRANTS: dict[str, dict[str, Any]] = {
    "own": {"scopes": [OWN]},
    "reader": {"scopes": [READ]},
    "officer": {"scopes": [READ, SENSITIVE]},
    "department": {"scopes": [READ], "labels": ["department:3"]},
    "model": {"scopes": [READ], "model_names": [DOCTOR]},
}


def paths_of(name: str, event_id: uuid.UUID) -> dict[str, str]:
    """Return all that can be asked about one event, by the kind of question."""
    model, pk = (DOCTOR if name == "doctor" else APPOINTMENT), f"pk-{name}"
    target = f"{API}objects/{model}/{pk}"
    since = quote((NEWEST - timedelta(days=1)).isoformat())
    until = quote((NEWEST + timedelta(days=1)).isoformat())
    about = f"object_pk={pk}"
    return {
        "list": f"{API}events/?{about}",
        "all": f"{API}events/?include=before,after,context,subjects,labels",
        "count": f"{API}events/?count=exact&{about}",
        "words": f"{API}events/?q=word{name}",
        "subject": f"{API}events/?subject=doctors.patient:hidden-{name}",
        "value": f"{API}events/?changed_field=notes&new=hidden-{name}",
        "detail": f"{API}events/{event_id}/",
        "large": f"{API}events/{event_id}/values/{'a' * 64}/",
        "timeline": f"{target}/timeline/",
        "as-of": f"{target}/as-of/",
        "diff": f"{target}/diff/?from={since}",
        "blame": f"{target}/blame/",
        "viewers": f"{target}/viewers/",
        "request": f"{API}requests/request-{name}/",
        "transaction": f"{API}transactions/tx-{name}/",
        "activity": f"{API}actors/actor-{name}/activity/?from={since}&to={until}",
        "histogram": f"{API}stats/histogram/?{about}",
        "top": f"{API}stats/top/?by=subject",
        "facets": f"{API}stats/facets/?fields=object,subject,actor,label",
        "feed": f"{API}feed/?after=beginning",
    }


@pytest.fixture
def events(store: Store, user_of: UserOf) -> dict[str, uuid.UUID]:
    """An event of each kind; each value says whose it is, and those of restricted classes that they are."""
    return {
        name: store(
            number,
            model=DOCTOR if name == "doctor" else APPOINTMENT,
            object_pk=f"pk-{name}",
            object_repr=f"word{name}",
            action="create",
            changes=Jsonb({"notes": [None, f"hidden-{name}"], "room": [None, f"open-{name}"]}),
            before=None,
            after=Jsonb({"id": f"pk-{name}", "notes": f"hidden-{name}", "room": f"open-{name}", "scan": LARGE}),
            classes=Jsonb({"health": ["notes", "scan", "patient", "patient_id", "$subjects"], "public": ["room"]}),
            changed_fields=["notes", "room"],
            subjects=[f"doctors.patient:hidden-{name}"] if name != "doctor" else [],
            labels=labels,
            request_id=f"request-{name}",
            transaction_id=f"tx-{name}",
            topic="audit.doctors.matrix",
            **({"actor_id": "own"} if name == "mine" else {"actor_id": f"actor-{name}"}),
        )
        for number, (name, labels) in enumerate(
            {"mine": [], "three": ["department:3"], "four": ["department:4"], "doctor": []}.items()
        )
    }


@pytest.fixture
def caller_of(user_of: UserOf, owner_connection: Any) -> Callable[[str], APIClient]:
    """Return a function that makes the program of a role."""

    def make(role: str) -> APIClient:
        user = user_of(role, auditor=role == "key", is_superuser=role == "superuser")
        if role == "own":
            owner_connection.execute(
                "UPDATE auditlog_auditlog SET actor_id = %s WHERE actor_id = 'own'", [str(user.pk)]
            )
        if role in GRANTS:
            grants.give(AccessGrant(user=user, reason="test", **GRANTS[role]))
        key = api_keys.issue(user=user, name="test", scopes=[READ, SENSITIVE] if role == "key" else [])
        if role == "key":
            grants.give(AccessGrant(api_key=ApiKey.objects.get(user=user), labels=["department:3"], reason="test"))
        program = APIClient(raise_request_exception=False)
        program.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
        return program

    return make


def allowed_statuses(role: str, kind: str) -> set[int]:
    """Return the statuses that an answer may have: whatever else it is, no question is malformed."""
    # A state cannot be told out of one's own acts.
    if role == "nobody" or (role == "own" and kind in {"as-of", "diff", "blame"}):
        return {403}
    return {200, 404, 503} if kind == "large" else {200, 404}


def traces(name: str) -> tuple[str, ...]:
    """Return what of an event would tell that it is there."""
    return f"word{name}", f"open-{name}", f"pk-{name}", f"actor-{name}", f"hidden-{name}"


@pytest.mark.parametrize("role", SEEN)
def test_no_answer_holds_a_trace_of_what_its_caller_may_not_see(
    role: str, events: dict[str, uuid.UUID], caller_of: Callable[[str], APIClient]
) -> None:
    visible, sees_values = SEEN[role]
    program, absent = caller_of(role), uuid.UUID(int=events["four"].int ^ 1)
    of_nothing = {kind: program.get(path).status_code for kind, path in paths_of("nothing", absent).items()}

    for name, event_id in events.items():
        for kind, path in paths_of(name, event_id).items():
            answer = program.get(path)
            assert answer.status_code in allowed_statuses(role, kind), (kind, answer.content)
            # What was asked for is told back in links and windows: only what the events say counts.
            text = told(answer)
            for other in events:
                found = [trace for trace in traces(other) if trace in text]
                if other not in visible:
                    assert not found, (kind, name, other, found)
                elif not sees_values:
                    assert f"hidden-{other}" not in found, (kind, name, other)
            if name not in visible:
                # As one that does not exist.
                assert answer.status_code == of_nothing[kind], (kind, name)


def told(answer: Any) -> str:
    """Return what an answer says beyond its own addresses and cursors."""
    body = answer.json()
    for member in (
        "next",
        "previous",
        "cursor",
        "object_pk",
        "actor_id",
        "request_id",
        "transaction_id",
        "detail",
        "instance",
    ):
        body.pop(member, None)
    return json.dumps(body)


@pytest.mark.parametrize("role", [role for role, (visible, _) in SEEN.items() if visible])
def test_every_answer_holds_what_its_caller_may_see(
    role: str, events: dict[str, uuid.UUID], caller_of: Callable[[str], APIClient]
) -> None:
    visible, sees_values = SEEN[role]
    program = caller_of(role)

    for name in visible:
        answers = {kind: program.get(path) for kind, path in paths_of(name, events[name]).items()}
        for kind in ("list", "all", "words", "detail", "timeline", "request", "transaction"):
            assert f"open-{name}" in answers[kind].content.decode(), (kind, answers[kind].content)
        for kind in ("detail", "timeline", "all"):
            assert (f"hidden-{name}" in answers[kind].content.decode()) == sees_values, kind
        assert answers["count"].json()["count"]["value"] == 1
        assert bool(answers["value"].json()["results"]) == sees_values
        if name != "doctor":
            assert bool(answers["subject"].json()["results"]) == sees_values
        # The reference is hidden with the value that it stands for; the content itself has not come.
        assert answers["large"].status_code == (503 if sees_values else 404)
