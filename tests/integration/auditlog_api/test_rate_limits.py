"""Tokens of the audit API: what is left is said, what is too much is refused, and floods fill nothing."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from auditlog import turned_away
from auditlog.api import rate_limits
from auditlog.rates import RateLimiter
from auditlog.turned_away import NAMED_CALLERS, TOLD_EVERY_SECONDS, TurnedAway
from tests.conftest import Events
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
LIMITS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


class Clock:
    """A clock that is moved by hand."""

    at = 6_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let limits begin anew, and time stand still."""
    made = Clock()
    monkeypatch.setattr(rate_limits, "limiter", RateLimiter(clock=made))
    return made


@pytest.fixture
def door(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TurnedAway:
    """What counts those who are turned away, with nothing counted yet."""
    made = TurnedAway(clock=clock)
    monkeypatch.setattr("auditlog.api.reads.turned_away", made)
    return made


def told(events: Events) -> list[dict[str, Any]]:
    """Return what was told of callers that were turned away, since the last call."""
    return [event["audit"] for event in events() if event["audit"]["object_repr"] == turned_away.OPERATION]


def left(answer: Any) -> tuple[str, ...]:
    """Return what an answer says of the tokens."""
    return tuple(answer[name] for name in LIMITS)


def test_a_caller_uses_up_tokens_and_waits_for_new_ones(
    client: APIClient, user_of: UserOf, store: Store, settings: Any, clock: Clock, door: TurnedAway
) -> None:
    settings.AUDITLOG_RATE_LIMIT_TOKENS = 2
    clock.at += 10
    assert left(client.get(EVENTS)) == ("2", "1", "50")
    assert left(client.get(EVENTS, {"colour": "red"})) == ("2", "0", "50")
    refused = client.get(EVENTS)
    assert (refused.status_code, refused["Content-Type"], refused.json()["code"]) == (
        429,
        "application/problem+json",
        "throttled",
    )
    assert (left(refused), refused["Retry-After"]) == (("2", "0", "50"), "50")
    other = APIClient()
    other.force_login(user_of("other"))
    assert other.get(EVENTS).status_code == 200
    clock.at += 50
    assert left(client.get(EVENTS)) == ("2", "1", "60")


def test_what_makes_the_database_work_costs_more(
    client: APIClient, store: Store, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditlog.api.views.events import EventSearch

    settings.AUDITLOG_RATE_LIMIT_TOKENS = 100
    monkeypatch.setattr(EventSearch, "cost", 7)
    assert left(client.post(f"{EVENTS}search/", {}))[1] == "93"


def test_who_may_not_read_is_limited_all_the_same(
    user_of: UserOf, events: Events, settings: Any, door: TurnedAway
) -> None:
    settings.AUDITLOG_RATE_LIMIT_TOKENS = 2
    stranger = APIClient()
    stranger.force_login(user_of("stranger", auditor=False))
    events()
    assert [stranger.get(EVENTS).status_code for _ in range(5)] == [403, 403, 429, 429, 429]
    recorded = [event["audit"]["data"].get("status") for event in events() if event["audit"]["data"]]
    # Two refusals, and one event for the first of those that were too many.
    assert recorded == [403, 403, None]


def test_bad_credentials_use_up_those_of_an_address_and_good_ones_do_not_care(
    client: APIClient, store: Store, settings: Any, door: TurnedAway
) -> None:
    settings.AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS = 2
    nobody = APIClient()
    answers = [nobody.get(EVENTS, headers={"authorization": "Api-Key nonsense"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert left(answers[1]) == ("2", "0", "60")
    assert answers[2]["Retry-After"] == "60"
    assert nobody.get(EVENTS, REMOTE_ADDR="192.0.2.8").status_code == 401
    assert client.get(EVENTS).status_code == 200


def test_neighbours_in_an_ipv6_network_are_one_caller(settings: Any, door: TurnedAway) -> None:
    settings.AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS = 1
    nobody = APIClient()
    found = [
        nobody.get(EVENTS, REMOTE_ADDR=address).status_code
        for address in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1")
    ]
    assert found == [401, 429, 401]


def test_a_flood_is_told_together(
    client: APIClient, store: Store, events: Events, clock: Clock, door: TurnedAway
) -> None:
    nobody = APIClient()
    events()
    for number in range(60):
        assert nobody.get(EVENTS, REMOTE_ADDR=f"192.0.2.{number}").status_code == 401
    (first,) = told(events)
    assert (first["action"], first["category"]) == ("audit_log_refused", "security")
    assert (first["object_pk"], first["actor"]) == (
        "auditlog",
        {"id": None, "repr": "auditlog", "type": "system", "on_behalf_of": None},
    )
    assert first["data"]["callers"] == [{"status": 401, "caller": "192.0.2.0", "calls": 1}]
    clock.at += TOLD_EVERY_SECONDS
    # The next recorded call takes the rest along.
    assert client.get(EVENTS).status_code == 200
    (rest,) = told(events)
    assert rest["data"]["calls"] == 59
    assert len(rest["data"]["callers"]) == NAMED_CALLERS + 1
    assert rest["data"]["callers"][-1] == {"status": 401, "caller": "others", "calls": 39}
    assert rest["context"] == {}
    assert client.get(EVENTS).status_code == 200
    assert told(events) == []


def test_what_cannot_be_told_is_told_later(events: Events, clock: Clock, door: TurnedAway) -> None:
    events()
    nobody = APIClient()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditlog.capture.messages.capability", lambda _connection: None)
        assert nobody.get(EVENTS).status_code == 401
    assert told(events) == []
    clock.at += TOLD_EVERY_SECONDS
    assert nobody.get(EVENTS).status_code == 401
    (audit,) = told(events)
    assert audit["data"]["calls"] == 2
