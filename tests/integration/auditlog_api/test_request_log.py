"""Each request is one line: what, how, how long and who; with the id of the audit events that it caused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.signals import request_started
from django.http import HttpRequest, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from pytest_django import Settings
from rest_framework.test import APIClient

from auditlog.api.request_log import RequestLogMiddleware, is_sampled
from doctors.models import Doctor
from tests.conftest import Events

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return the log events of a name."""
    caplog.set_level("INFO")

    def find(name: str = "request.finished") -> list[dict[str, Any]]:
        events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        return [event for event in events if event["event"] == name]

    return find


def test_a_request_is_one_line_with_the_request_id_of_its_audit_events(lines: Lines, events: Events) -> None:
    doctor = Doctor.objects.create(first_name="Ada", last_name="Byron")
    user = get_user_model().objects.create_superuser("ada")
    client = APIClient()
    client.force_login(user)
    events()
    address = f"/api/doctors/{doctor.pk}/"
    answer = client.patch(
        f"{address}?last_name=Byron", {"bio": "s3cret-body"}, headers={"Authorization-Extra": "s3cret"}
    )
    (line,), (event,) = lines(), events()
    asked = {"method": "PATCH", "path": address, "status": 200, "user": str(user.pk)}
    assert {name: line[name] for name in asked} == asked
    assert line["request_id"] == event["audit"]["context"]["request_id"] == answer["X-Request-ID"]
    assert line["milliseconds"] > 0
    assert "s3cret" not in json.dumps(line)


def test_the_id_that_the_caller_gives_is_the_one_that_is_logged_and_no_query(lines: Lines) -> None:
    Client().get("/api/doctors/?token=s3cret", headers={"X-Request-ID": "from-outside"})
    (line,) = lines()
    assert (line["request_id"], line["status"], line["user"]) == ("from-outside", 401, None)
    assert (line["path"], "s3cret" in json.dumps(line)) == ("/api/doctors/", False)


def test_probes_are_not_logged(lines: Lines) -> None:
    Client().get("/livez")
    assert lines() == []


def test_requests_at_the_same_time_do_not_mix(lines: Lines) -> None:
    async def ask() -> None:
        client = AsyncClient()
        await asyncio.gather(
            *(client.get(f"/api/doctors/{n}/", headers={"X-Request-ID": f"id-{n}"}) for n in range(20))
        )

    asyncio.run(ask())
    logged = {(line["path"], line["request_id"], line["status"]) for line in lines()}
    assert logged == {(f"/api/doctors/{n}/", f"id-{n}", 401) for n in range(20)}
    assert all(line["milliseconds"] > 0 for line in lines())


def test_a_stream_is_logged_after_its_last_part(lines: Lines) -> None:
    def stream(_request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"a", b"b"]))

    handler: Any = RequestLogMiddleware(stream)
    response = handler(RequestFactory().get("/file"))
    assert b"".join(response.streaming_content) == b"ab"
    assert lines() == []
    response.close()
    assert [line["path"] for line in lines()] == ["/file"]


def test_a_request_whose_client_went_away_is_logged_as_aborted(lines: Lines) -> None:
    async def hang(_request: HttpRequest) -> Any:
        await asyncio.Event().wait()

    async def ask() -> None:
        handler: Any = RequestLogMiddleware(hang)
        task = asyncio.create_task(handler(AsyncRequestFactory().get("/slow")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert [line["path"] for line in lines("request.aborted")] == ["/slow"]


def test_a_sample_is_logged_and_every_failure_of_the_server(settings: Settings) -> None:
    settings.AUDITLOG_REQUEST_LOG_PERCENT = 10
    assert [is_sampled(200, draw=lambda _n, drawn=drawn: drawn) for drawn in (0, 9, 10, 99)] == [  # type: ignore[misc]
        True,
        True,
        False,
        False,
    ]
    settings.AUDITLOG_REQUEST_LOG_PERCENT = 0
    assert not is_sampled(404)
    assert is_sampled(500)


def test_nothing_is_logged_where_nothing_is_sampled(lines: Lines, settings: Settings) -> None:
    settings.AUDITLOG_REQUEST_LOG_PERCENT = 0
    Client().get("/api/doctors/")
    assert lines() == []


def test_an_unknown_user_is_not_looked_up_for_the_log(lines: Lines, django_assert_num_queries: Any) -> None:
    client = Client()
    client.cookies["sessionid"] = "somebody"
    with django_assert_num_queries(0):
        client.get("/nowhere/")
    assert [line["user"] for line in lines()] == [None]


def test_the_start_is_noted_by_one_receiver() -> None:
    assert [uid for (uid, _), *_ in request_started.receivers].count("auditlog.note_start") == 1
