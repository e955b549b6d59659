"""Views that write, for tests of what a request says about its writes."""

from __future__ import annotations

import asyncio
import threading

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model, login
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditlog.context import set_actor, set_reason
from settings.urls import handler400, handler403, handler404, handler500
from tests.samples.models import Genre

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Write as whoever the session belongs to."""
    Genre.objects.create(name=name)
    return HttpResponse()


def write_as_another(request: HttpRequest) -> HttpResponse:
    """Write before, inside and after a block of another actor."""
    Genre.objects.create(name="before")
    with set_actor("nightly job", on_behalf_of=request.user), set_reason("clean-up"):
        Genre.objects.create(name="inside")
    Genre.objects.create(name="after")
    return HttpResponse()


def log_in(request: HttpRequest) -> HttpResponse:
    """Write before and after somebody logs in."""
    Genre.objects.create(name="before")
    login(request, get_user_model().objects.get(username="ada"))
    Genre.objects.create(name="after")
    return HttpResponse()


def switch(request: HttpRequest) -> HttpResponse:
    """Write before and after code of the application says who it is, within one session."""
    Genre.objects.create(name="before")
    request.user = get_user_model().objects.get(username="ada")
    Genre.objects.create(name="after")
    return HttpResponse()


def delete_myself(request: HttpRequest) -> HttpResponse:
    """Write after one's own account is gone."""
    get_user_model().objects.filter(username=request.user.get_username()).delete()
    Genre.objects.create(name="after")
    return HttpResponse()


def fail(request: HttpRequest) -> HttpResponse:
    """Write and fail."""
    Genre.objects.create(name="failing")
    raise RuntimeError


def write_in_a_thread(request: HttpRequest) -> HttpResponse:
    """Write in a thread that nobody gave a context."""
    thread = threading.Thread(target=_in_thread)
    thread.start()
    thread.join()
    return HttpResponse()


def _in_thread() -> None:
    Genre.objects.create(name="thread")
    connections.close_all()


# How many requests must be in the view before one of them writes.
together = asyncio.Barrier(1)


async def write_async(request: HttpRequest, name: str) -> HttpResponse:
    """Write in a coroutine, and in a thread that it calls."""
    async with asyncio.timeout(30):
        await together.wait()
    await Genre.objects.acreate(name=name)
    await sync_to_async(Genre.objects.create)(name=f"{name} in a thread")
    return HttpResponse()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Answer in parts."""
    return StreamingHttpResponse(iter([b"x"]))


class Rest(APIView):
    """Knows its user only once the framework has authenticated."""

    permission_classes = ()

    def post(self, request: Request) -> Response:
        """Write."""
        Genre.objects.create(name="rest")
        return Response()


urlpatterns = [
    path("write/<str:name>/", write),
    path("another/", write_as_another),
    path("login/", log_in),
    path("switch/", switch),
    path("gone/", delete_myself),
    path("fail/", fail),
    path("thread/", write_in_a_thread),
    path("async/<str:name>/", write_async),
    path("stream/", stream),
    path("rest/", Rest.as_view()),
]
