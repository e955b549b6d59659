"""I10: the actor is who acted at the moment of the write, stored by value, and never somebody else's."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.db.models.signals import pre_save
from django.test import AsyncClient, Client

from auditlog import api_keys, context
from auditlog.context import set_actor, set_extra_data, set_reason
from tests.conftest import Events
from tests.samples.models import Genre

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.integration.capture.urls"),
]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada")


def actors(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the actor of each genre's event by the genre's name."""
    genres = [event for event in events if event["audit"]["model"] == "samples.genre"]
    return {event["after"]["name"]: event["audit"]["actor"] for event in genres}


def actor_of(user: Any, kind: str = "user") -> dict[str, Any]:
    if user.is_anonymous:
        return {"id": None, "repr": None, "type": "anonymous", "on_behalf_of": None}
    return {"id": str(user.pk), "repr": user.get_username(), "type": kind, "on_behalf_of": None}


def test_i10_a_request_says_who_where_and_how(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    answer = client.post(
        "/write/x/",
        headers={
            "user-agent": "browser",
            "x-request-id": "0f6e-1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-forwarded-for": "203.0.113.9",
        },
        REMOTE_ADDR="192.0.2.7",
    )
    (event,) = (event for event in events() if event["audit"]["model"] == "samples.genre")
    assert event["audit"]["actor"] == actor_of(ada)
    assert event["audit"]["context"] == {
        "remote_addr": "192.0.2.7",  # nobody said that a proxy may be believed
        "user_agent": "browser",
        "request_id": "0f6e-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "method": "POST",
        "path": "/write/x/",
        "session": "sha256:" + hashlib.sha256((client.session.session_key or "").encode()).hexdigest(),
    }
    assert answer.headers["X-Request-ID"] == "0f6e-1"


def test_i10_a_proxy_that_is_trusted_says_where_the_client_is(client: Client, events: Events, settings: Any) -> None:
    settings.AUDITLOG_TRUSTED_PROXIES = 1
    client.post("/write/x/", headers={"x-forwarded-for": "198.51.100.1, 203.0.113.9"}, REMOTE_ADDR="10.0.0.1")
    (event,) = events()
    assert event["audit"]["context"]["remote_addr"] == "203.0.113.9"
    assert event["audit"]["actor"] == actor_of(AnonymousUser())


@pytest.mark.parametrize(("sent", "meant"), [("naïve ☃".encode(), "naïve ☃"), ("naïve".encode("latin-1"), "naïve")])
def test_a_user_agent_is_told_as_its_sender_meant_it(sent: bytes, meant: str, client: Client, events: Events) -> None:
    client.post("/write/x/", headers={"user-agent": sent.decode("latin-1")})
    assert events()[0]["audit"]["context"]["user_agent"] == meant


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-request-id", "a b\x00"),
        ("x-request-id", "x" * 500),
        ("user-agent", "\x00\ud800\x07" + "x" * 5_000),
        ("traceparent", "00-" + "0" * 32 + "-b7ad6b7169203331-01"),
        ("traceparent", "'; DROP TABLE auditlog_outboxevent; --"),
        ("x-forwarded-for", "unknown, \x00, 999.1.1.1"),
        ("cookie", "sessionid=\x00\x01"),
    ],
)
def test_i8_garbage_in_headers_fails_no_write(
    header: str, value: str, client: Client, events: Events, settings: Any
) -> None:
    settings.AUDITLOG_TRUSTED_PROXIES = 1
    assert client.post("/write/x/", headers={header: value}).status_code == 200
    (event,) = events()
    facts = event["audit"]["context"]
    assert "\x00" not in str(facts)
    assert len(facts["request_id"]) == 32
    assert len(facts["user_agent"] or "") <= 512
    assert facts["traceparent"] is None


def test_i10_the_user_is_the_one_of_the_moment(ada: Any, client: Client, events: Events) -> None:
    client.post("/login/")
    found = actors(events())
    assert found["before"]["type"] == "anonymous"
    assert found["after"] == actor_of(ada)


def test_i10_a_user_who_is_set_in_mid_request_is_seen(ada: Any, client: Client, events: Events) -> None:
    client.post("/switch/")
    assert actors(events()) == {"before": actor_of(AnonymousUser()), "after": actor_of(ada)}


def test_i10_rest_framework_and_its_keys_are_seen(ada: Any, client: Client, events: Events) -> None:
    key = api_keys.issue(user=ada, name="test")
    client.post("/rest/", headers={"authorization": f"Api-Key {key}"})
    assert actors(events()) == {"rest": actor_of(ada, "api_key")}


def test_i10_code_may_act_for_somebody_and_the_block_ends(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    client.post("/another/")
    found = [event["audit"] for event in events() if event["audit"]["model"] == "samples.genre"]
    job = {"id": None, "repr": "nightly job", "type": "system", "on_behalf_of": {"id": str(ada.pk), "repr": "ada"}}
    assert [event["actor"] for event in found] == [actor_of(ada), job, actor_of(ada)]
    assert [event["reason"] for event in found] == [None, "clean-up", None]


def test_i10_an_actor_outlives_the_account(ada: Any, client: Client, events: Events) -> None:
    wanted = actor_of(ada)
    client.force_login(ada)
    assert client.post("/gone/").status_code == 200
    assert not get_user_model().objects.exists()
    assert actors(events()) == {"after": wanted}


def test_i10_nothing_of_a_request_is_left_after_it(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    receivers = len(pre_save.receivers)
    client.raise_request_exception = False
    for number in range(50):
        client.post(f"/write/{number}/")
    assert client.post("/fail/").status_code == 500
    Genre.objects.create(name="later")
    found = actors(events())
    assert found["failing"] == actor_of(ada)
    assert found["later"] is None
    assert len(pre_save.receivers) == receivers
    assert context.current() == context.Circumstances()


def test_i10_a_thread_without_the_context_has_no_actor_and_one_with_it_has(
    ada: Any, client: Client, events: Events
) -> None:
    client.force_login(ada)
    client.post("/thread/")
    assert actors(events()) == {"thread": None}

    def write() -> None:
        Genre.objects.create(name="given")
        connections.close_all()

    with set_actor(ada):
        given = contextvars.copy_context()
    thread = threading.Thread(target=given.run, args=[write])
    thread.start()
    thread.join()
    assert actors(events()) == {"given": actor_of(ada)}


def test_i10_threads_that_write_at_once_keep_their_actors_apart(events: Events) -> None:
    barrier = threading.Barrier(8, timeout=30)

    def write(number: int) -> None:
        barrier.wait()
        for turn in range(20):
            with set_actor(f"worker {number}"), set_reason(str(number)), set_extra_data(turn=turn):
                Genre.objects.create(name=f"{number}.{turn}")
        connections.close_all()

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = [event for event in events() if event["audit"]["model"] == "samples.genre"]
    assert len(found) == 160
    for event in found:
        number, turn = event["after"]["name"].split(".")
        assert event["audit"]["actor"]["repr"] == f"worker {number}"
        assert event["audit"]["reason"] == number
        assert event["audit"]["context"]["extra"] == {"turn": int(turn)}


async def test_i10_coroutines_that_write_at_once_keep_their_users_apart(
    ada: Any, events: Events, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asgiref.sync import sync_to_async

    # Behind a middleware that knows no coroutines, one request would follow the other.
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "auditlog.middleware.AuditlogMiddleware",
    ]
    monkeypatch.setattr("tests.integration.capture.urls.together", asyncio.Barrier(10))
    bob = await get_user_model().objects.acreate(username="bob")
    clients = {}
    for user in (ada, bob):
        clients[user] = AsyncClient()
        await clients[user].aforce_login(user)
    await asyncio.gather(*(clients[u].post(f"/async/{u.get_username()} {n}/") for n in range(5) for u in (ada, bob)))
    found = actors(await sync_to_async(events)())
    assert len(found) == 20
    for name, actor in found.items():
        assert actor == actor_of(ada if name.startswith("ada") else bob)


def test_i10_a_management_command_is_an_actor_without_its_secrets(events: Events) -> None:
    command = [sys.executable, "manage.py", "demo", "--rows=20", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout
    imported = [event for event in events() if event["audit"]["model"] == "doctors.practicelocation"]
    assert imported[0]["audit"]["actor"] == {
        "id": None,
        "repr": "manage.py demo --rows=20 --json",
        "type": "command",
        "on_behalf_of": None,
    }
    assert imported[0]["audit"]["context"]["os_user"]
