"""How long an answer takes says nothing of what its caller may not see: it is held until a full step has passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.access import grants
from auditlog.api import steps
from auditlog.models import AccessGrant
from tests.conftest import Events
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

ROOT = "/api/audit/v1/"
EVENTS, FEED = f"{ROOT}events/", f"{ROOT}feed/"
# A power of two: sums of its parts are exact.
STEP = 0.125
# What of an object or a subject is hidden takes longer than what is not there; both take less than a step.
HIDDEN, ABSENT = STEP / 2, STEP / 8


class Clock:
    """A clock that moves by `work` between the first look of a request and the second, and when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1_024.0
        self.work = 0.0
        self.while_asleep: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        """Return the time."""
        now, self.at, self.work = self.at, self.at + self.work, 0.0
        return now

    def sleep(self, seconds: float) -> None:
        """Move on; nothing is open meanwhile."""
        assert not any(connections[alias].in_atomic_block for alias in ("audit", "default"))
        self.while_asleep()
        self.at += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Clock:
    """Let answers be given on steps of a clock that is moved by hand."""
    made = Clock()
    settings.AUDITLOG_ANSWER_STEP_SECONDS = STEP
    monkeypatch.setattr(steps, "monotonic", made.monotonic)
    monkeypatch.setattr(steps, "sleep", made.sleep)
    return made


@pytest.fixture
def caller_with(user_of: UserOf) -> Callable[..., APIClient]:
    """Return a function that makes a program of somebody with these permissions, who may have a grant."""

    def make(*codenames: str, **grant: Any) -> APIClient:
        user = user_of("caller", auditor=False)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        if grant:
            grants.give(AccessGrant(user=user, reason="test", **grant))
        program = APIClient()
        program.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user, name='test')}")
        return program

    return make


@pytest.fixture
def narrowed(caller_with: Callable[..., APIClient]) -> APIClient:
    """A program of somebody who sees department 3."""
    return caller_with("view_auditlog", labels=["department:3"])


@pytest.fixture
def stored(store: Store) -> None:
    """An event that the narrowed caller sees, and one about doctor 17 and patient 42 that they do not."""
    store(1, object_pk="18", labels=["department:3"])
    store(2, labels=["department:4"], subjects=["doctors.patient:42"], after=Jsonb({"id": 17}), before=Jsonb({}))


def taken(clock: Clock, caller: APIClient, path: str, *, work: float, expected: int = 200, **query: Any) -> float:
    """Return how long a question takes whose work takes so long."""
    began, clock.work = clock.at, work
    answer = caller.get(path, query)
    assert answer.status_code == expected, answer.content
    return clock.at - began


def questions(object_pk: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what may be asked of a doctor, and of the patient whom the doctor's events are about."""
    patient = {"subject": "doctors.patient:42" if object_pk == "17" else "doctors.patient:43"}
    doctor = f"{ROOT}objects/doctors.doctor/{object_pk}/"
    return [
        (EVENTS, patient),
        (EVENTS, {"object_pk": object_pk, "count": "exact"}),
        (f"{doctor}timeline/", {}),
        (f"{doctor}as-of/", {}),
        (f"{doctor}blame/", {}),
        (f"{doctor}viewers/", {}),
        (f"{ROOT}stats/histogram/", {"bucket": "day", **patient}),
        (f"{ROOT}stats/top/", {"by": "actor", **patient}),
        (f"{ROOT}stats/facets/", {"fields": "actor", **patient}),
    ]


@pytest.mark.parametrize("number", range(len(questions("17"))))
def test_hidden_and_absent_are_answered_after_the_same_step(
    clock: Clock, narrowed: APIClient, stored: None, number: int
) -> None:
    (path, query), (absent_path, absent_query) = questions("17")[number], questions("99")[number]
    expected = 404 if path.endswith(("as-of/", "blame/")) else 200

    assert taken(clock, narrowed, path, work=HIDDEN, expected=expected, **query) == STEP
    assert taken(clock, narrowed, absent_path, work=ABSENT, expected=expected, **absent_query) == STEP


def test_what_takes_longer_than_a_step_is_answered_after_the_next(
    clock: Clock, narrowed: APIClient, stored: None
) -> None:
    assert taken(clock, narrowed, EVENTS, work=2.5 * STEP) == 3 * STEP
    assert taken(clock, narrowed, FEED, work=2.25 * STEP, after="beginning", wait=1) == 3 * STEP


@pytest.mark.parametrize(
    ("codenames", "grant"),
    [
        (["read"], {}),
        (["read_own", "read_sensitive"], {}),
        (["view_auditlog"], {"model_names": ["doctors.doctor"]}),
        (["view_auditlog"], {"labels": ["department:3"]}),
    ],
    ids=["values", "own", "models", "labels"],
)
def test_from_whomever_something_is_hidden_is_held(
    clock: Clock, caller_with: Callable[..., APIClient], stored: None, codenames: list[str], grant: dict[str, Any]
) -> None:
    caller = caller_with(*codenames, **grant)
    for path in (EVENTS, FEED, f"{ROOT}stats/histogram/?bucket=day"):
        assert taken(clock, caller, path, work=HIDDEN) == STEP


def test_refusals_are_held_too(clock: Clock, narrowed: APIClient) -> None:
    assert taken(clock, narrowed, EVENTS, work=ABSENT, expected=400, nonsense="1") == STEP
    assert taken(clock, narrowed, f"{ROOT}objects/no.model/1/timeline/", work=ABSENT, expected=404) == STEP


def test_a_caller_who_may_not_read_is_held(clock: Clock, caller_with: Callable[..., APIClient]) -> None:
    assert taken(clock, caller_with(), EVENTS, work=ABSENT, expected=403) == STEP


def test_who_sees_everything_is_never_held(clock: Clock, client: APIClient, stored: None) -> None:
    for path, query in questions("17"):
        assert taken(clock, client, path, work=HIDDEN, **query) == HIDDEN
    assert taken(clock, client, EVENTS, work=HIDDEN, expected=400, nonsense="1") == HIDDEN


def test_an_auditor_from_whom_the_calls_of_others_are_hidden_is_held_there(
    clock: Clock, client: APIClient, caller_with: Callable[..., APIClient]
) -> None:
    administrator = caller_with("view_auditlog", "admin")
    assert taken(clock, client, f"{ROOT}access-log/", work=HIDDEN) == STEP
    assert taken(clock, administrator, f"{ROOT}access-log/", work=HIDDEN) == HIDDEN


def test_who_is_not_known_and_who_calls_too_often_are_answered_at_once(
    clock: Clock, narrowed: APIClient, settings: Any
) -> None:
    assert taken(clock, APIClient(), EVENTS, work=ABSENT, expected=401) == ABSENT
    settings.AUDITLOG_RATE_LIMIT_TOKENS = 1
    assert taken(clock, narrowed, EVENTS, work=ABSENT) == STEP
    assert taken(clock, narrowed, EVENTS, work=ABSENT, expected=429) == ABSENT


def test_a_call_is_an_event_before_it_is_held(clock: Clock, narrowed: APIClient, stored: None, events: Events) -> None:
    told: list[Any] = []
    clock.while_asleep = lambda: told.extend(events())
    events()
    taken(clock, narrowed, EVENTS, work=HIDDEN)
    assert [event["audit"]["object_repr"] for event in told] == ["audit-events"]


def test_a_step_of_nothing_holds_nobody(clock: Clock, narrowed: APIClient, settings: Any) -> None:
    settings.AUDITLOG_ANSWER_STEP_SECONDS = 0
    assert taken(clock, narrowed, EVENTS, work=HIDDEN) == HIDDEN
