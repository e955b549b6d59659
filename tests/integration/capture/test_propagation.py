"""I10: the actor on further ways to a write: tokens, queued tasks, pools of threads, impersonation."""

from __future__ import annotations

import contextvars
import gc
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core import signals as core_signals
from django.db import connections
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client
from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditlog.context import Circumstances, current, set_actor, set_reason
from auditlog.frames import Frames, current_frames
from auditlog.request import RequestFacts
from settings.urls import handler400, handler403, handler404, handler500
from tests.conftest import Events
from tests.samples.models import Genre, Shelf

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
Respond = Callable[[HttpRequest], HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Claims:
    """Who a signed token says that somebody is: a user without a row, as libraries for JWT have it."""

    pk: str
    name: str
    is_authenticated = True
    is_anonymous = False

    def get_username(self) -> str:
        """Return what the token calls its bearer."""
        return self.name


class TokenAuthentication(BaseAuthentication):
    """`Token <username>`: the user of the row; notes that the token was used."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, name = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme != "Token":
            return None
        Genre.objects.create(name="token used")
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            raise AuthenticationFailed
        return user, name


class BearerAuthentication(BaseAuthentication):
    """`Bearer <id>:<name>`: whom the token itself describes."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, claims = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        return (Claims(*claims.split(":")), claims) if scheme == "Bearer" else None


class Tokens(APIView):
    """Its classes differ from the project's."""

    authentication_classes = (TokenAuthentication, BearerAuthentication)
    permission_classes = ()

    def post(self, request: Request) -> Response:
        """Write."""
        Genre.objects.create(name="written")
        return Response()


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Write in the view's own thread."""
    Genre.objects.create(name=name).delete()
    return HttpResponse()


def enqueue(request: HttpRequest) -> HttpResponse:
    """Leave three tasks for a worker: with a user's id, with a context, with neither."""
    user_id, context = str(request.user.pk), contextvars.copy_context()

    def as_user() -> None:
        with set_actor(get_user_model().objects.get(pk=user_id)), set_reason("task"):
            Genre.objects.create(name="by id")

    TASKS.put(as_user)
    TASKS.put(lambda: context.run(Genre.objects.create, name="by context"))
    TASKS.put(lambda: Genre.objects.create(name="by nobody"))
    return HttpResponse()


def fan_out(request: HttpRequest) -> HttpResponse:
    """Write in the threads of a pool that outlives the request."""
    Genre.objects.create(name="in the view")
    jobs = [POOL.submit(contextvars.copy_context().run, _in_pool, f"{n}") for n in range(20)]
    for job in jobs:
        job.result(30)
    return HttpResponse()


def _in_pool(name: str) -> None:
    genre = Genre.objects.create(name=name)
    with set_actor("pool"):
        genre.delete()
    connections.close_all()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Write while the answer is sent."""

    def parts() -> Iterator[bytes]:
        for name in ("one", "two"):
            Genre.objects.create(name=name)
            yield name.encode()

    return StreamingHttpResponse(parts())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    """Write while the answer is sent, in a coroutine."""

    async def parts() -> AsyncIterator[bytes]:
        for name in ("one", "two"):
            await Genre.objects.acreate(name=name)
            yield name.encode()

    return StreamingHttpResponse(parts())


def impersonating(get_response: Respond) -> Respond:
    """A middleware of an application: its staff acts as somebody else for whole requests."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        name = request.headers.get("X-Act-As")
        if name is None:
            return get_response(request)
        staff, request.user = request.user, get_user_model().objects.get(username=name)
        with set_actor(staff, on_behalf_of=request.user):
            return get_response(request)

    return middleware


urlpatterns = [
    path("tokens/", Tokens.as_view()),
    path("write/<str:name>/", write),
    path("enqueue/", enqueue),
    path("fan-out/", fan_out),
    path("stream/", stream),
    path("stream-async/", stream_async),
]
TASKS: queue.Queue[Callable[[], Any] | None] = queue.Queue()
POOL = ThreadPoolExecutor(4)


@pytest.fixture(scope="module", autouse=True)
def pool_ends() -> Iterator[None]:
    yield
    POOL.shutdown()


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def worker() -> Iterator[Callable[[], None]]:
    """A worker that started before any request; the fixture's value waits until it has done all tasks."""

    def work() -> None:
        while task := TASKS.get():
            task()
        assert current() == Circumstances()
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()

    def finish() -> None:
        TASKS.put(None)
        thread.join(30)
        assert not thread.is_alive()

    yield finish
    if thread.is_alive():
        finish()


def actors(events: Events) -> dict[tuple[str, str], Any]:
    """Return (type, id, repr) of the actor of each genre's event, by action and name; None where nobody acts."""
    found: dict[tuple[str, str], Any] = {}
    for event in events():
        audit = event["audit"]
        if audit["model"] == "samples.genre":
            actor = audit["actor"]
            name = (event["after"] or event["before"])["name"]
            found[audit["action"], name] = actor and (actor["type"], actor["id"], actor["repr"])
    return found


def test_i10_a_token_that_the_view_accepts_says_who_acts(ada: Any, client: Client, events: Events) -> None:
    assert client.post("/tokens/", headers={"authorization": "Token ada"}).status_code == 200
    # While the framework is still authenticating, nobody is known.
    assert actors(events) == {
        ("create", "token used"): ("anonymous", None, None),
        ("create", "written"): ("user", str(ada.pk), "ada"),
    }


def test_i10_a_token_is_believed_for_its_own_request_only(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    assert client.post("/tokens/", headers={"authorization": "Bearer 4711:billing"}).status_code == 200
    assert actors(events) == {("create", "written"): ("user", "4711", "billing")}
    assert client.post("/tokens/", headers={"authorization": "Token nobody"}).status_code == 403
    assert actors(events) == {("create", "token used"): ("user", str(ada.pk), "ada")}


def test_i10_a_task_has_the_actor_that_it_was_given(
    ada: Any, client: Client, events: Events, worker: Callable[[], None]
) -> None:
    client.force_login(ada)
    events()
    client.post("/enqueue/", headers={"x-request-id": "r-1"})
    worker()
    told = {event["after"]["name"]: event["audit"] for event in events()}
    assert [told[name]["actor"] and told[name]["actor"]["repr"] for name in ("by id", "by context", "by nobody")] == [
        "ada",
        "ada",
        None,
    ]
    requests = {name: audit["context"].get("request_id") for name, audit in told.items()}
    assert requests == {"by id": None, "by context": "r-1", "by nobody": None}
    assert {name: audit["reason"] for name, audit in told.items()} == {
        "by id": "task",
        "by context": None,
        "by nobody": None,
    }


def test_i10_a_pool_of_threads_acts_for_the_request_that_asked(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    events()
    client.post("/fan-out/")
    found = actors(events)
    who = ("user", str(ada.pk), "ada")
    assert found.pop(("create", "in the view")) == who
    assert found == {("create", str(n)): who for n in range(20)} | {
        ("delete", str(n)): ("system", None, "pool") for n in range(20)
    }
    assert POOL.submit(current).result(30) == Circumstances()


def test_a_thread_that_was_given_the_context_frames_its_writes_apart(events: Events) -> None:
    shelf = Shelf.objects.create(name="A")
    events()

    def write_in_thread(**_kwargs: Any) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=[update])
        thread.start()
        thread.join(30)

    def update() -> None:
        Shelf.objects.filter(pk=shelf.pk).update(name="thread")
        connections.close_all()

    shelf.name = "B"
    pre_save.connect(write_in_thread, sender=Shelf)
    try:
        shelf.save()
    finally:
        pre_save.disconnect(write_in_thread, sender=Shelf)
    told = [(event["after"]["name"], event["audit"]["object_repr"]) for event in events()]
    assert told == [("thread", None), ("B", "shelf B")]


def test_i10_an_impersonated_request_says_both(ada: Any, client: Client, events: Events, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.impersonating"]
    staff = get_user_model().objects.create_user("staff")
    client.force_login(staff)
    events()
    client.post("/write/x/", headers={"x-act-as": "ada"})
    client.post("/write/y/")
    as_ada = {
        "id": str(staff.pk),
        "repr": "staff",
        "type": "user",
        "on_behalf_of": {"id": str(ada.pk), "repr": "ada"},
    }
    told = [event["audit"]["actor"] for event in events()]
    assert told == [as_ada] * 2 + [as_ada | {"on_behalf_of": None}] * 2


def test_i10_an_answer_that_writes_while_it_is_sent_has_its_request(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    events()
    answer = client.post("/stream/", headers={"x-request-id": "r-7"})
    parts = iter(answer.streaming_content)  # type: ignore[attr-defined]
    assert next(parts) == b"one"
    Genre.objects.create(name="meanwhile")
    assert list(parts) == [b"two"]
    told = {event["after"]["name"]: event["audit"] for event in events()}
    assert {name: audit["context"].get("request_id") for name, audit in told.items()} == {
        "one": "r-7",
        "meanwhile": None,
        "two": "r-7",
    }
    assert [told[name]["actor"] and told[name]["actor"]["repr"] for name in ("one", "two", "meanwhile")] == [
        "ada",
        "ada",
        None,
    ]
    assert current() == Circumstances()


async def test_i10_an_asynchronous_answer_that_writes_while_it_is_sent_has_its_request(
    ada: Any, async_client: AsyncClient, events: Events
) -> None:
    await async_client.aforce_login(ada)
    await sync_to_async(events)()
    answer: Any = await async_client.post("/stream-async/")
    assert [part async for part in answer.streaming_content] == [b"one", b"two"]
    found = await sync_to_async(actors)(events)
    assert found == dict.fromkeys((("create", "one"), ("create", "two")), ("user", str(ada.pk), "ada"))


def test_i10_a_thousand_requests_leave_nothing_behind(ada: Any, client: Client, events: Events) -> None:
    client.force_login(ada)
    client.post("/write/first/")
    current_frames()
    gc.collect()
    before = left_over()
    for number in range(1_000):
        client.post(f"/write/{number}/")
    gc.collect()
    assert left_over() == before
    assert current() == Circumstances()
    assert len([event for event in events() if event["audit"]["model"] == "samples.genre"]) == 2 * 1_001


def left_over() -> dict[str, int]:
    """Count the receivers of every signal that a request or a write could connect, and what is alive of requests."""
    model_signals: dict[str, ModelSignal] = {
        "pre_save": pre_save,
        "post_save": post_save,
        "pre_delete": pre_delete,
        "post_delete": post_delete,
        "m2m_changed": m2m_changed,
    }
    counts = {name: len(signal.receivers) for name, signal in model_signals.items()}
    counts |= {name: len(getattr(core_signals, name).receivers) for name in ("request_started", "request_finished")}
    alive = gc.get_objects()
    return counts | {kind.__name__: sum(type(each) is kind for each in alive) for kind in (RequestFacts, Frames)}
