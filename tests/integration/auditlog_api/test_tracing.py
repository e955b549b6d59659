"""A request is one trace: its span, its events, and each line of the log that is written meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from pytest_django import Settings
from rest_framework.test import APIClient
from structlog.processors import JSONRenderer

from auditlog.api.tracing import TracingMiddleware
from auditlog.middleware import AuditlogMiddleware
from doctors.models import Doctor
from settings.logs import logging_settings
from tests.conftest import Events
from tests.unit.auditlog.spans import PARENT, SAMPLED, TRACE, UNSAMPLED, Memory, parent_of, trace_of, traceparent_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

LOG = structlog.get_logger("test.tracing")


@pytest.fixture(scope="session")
def application() -> Memory:
    """The provider of this process, as an application has one: it can be set once."""
    memory = Memory()
    trace.set_tracer_provider(memory.provider)
    return memory


@pytest.fixture
def spans(application: Memory, settings: Settings) -> Memory:
    """Tracing is on, and nothing is recorded yet."""
    settings.AUDITLOG_TRACING = True
    application.take()
    return application


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """Everything that is logged, as its line in production has it."""
    found: list[dict[str, Any]] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(self.format(record)))

    keeper, root = Keeper(), logging.getLogger()
    options = {**logging_settings()["formatters"]["structlog"]}
    formatter = options.pop("()")
    keeper.setFormatter(formatter(**{**options, "processors": [formatter.remove_processors_meta, JSONRenderer()]}))
    root.addHandler(keeper)
    yield found
    root.removeHandler(keeper)


def _superuser() -> Any:
    return get_user_model().objects.create_superuser("ada")


def test_every_line_of_a_request_has_its_trace_and_request_id(lines: list[dict[str, Any]]) -> None:
    Client().get("/api/nothing/", headers={"traceparent": SAMPLED, "X-Request-ID": "asked-once"})
    assert {line["event"] for line in lines} == {"Not Found: /api/nothing/", "request.finished"}
    assert {(line["trace_id"], line["request_id"]) for line in lines} == {(TRACE, "asked-once")}
    Client().get("/api/nothing/")
    assert all("trace_id" not in line and len(line["request_id"]) == 32 for line in lines[2:])
    assert structlog.contextvars.get_contextvars() == {}


def test_a_line_written_while_an_answer_is_sent_has_the_ids_too(lines: list[dict[str, Any]]) -> None:
    def parts() -> Iterator[bytes]:
        LOG.warning("test.part")
        yield b"a"

    handler: Any = AuditlogMiddleware(lambda _request: StreamingHttpResponse(parts()))
    response = handler(RequestFactory().get("/", headers={"traceparent": UNSAMPLED}))
    assert b"".join(response.streaming_content) == b"a"
    assert [(line["event"], line["trace_id"]) for line in lines] == [("test.part", TRACE)]


def test_the_events_of_a_request_carry_its_span(spans: Memory, events: Events, lines: list[dict[str, Any]]) -> None:
    doctor = Doctor.objects.create(first_name="Ada", last_name="Byron")
    client = APIClient()
    client.force_login(_superuser())
    events()
    headers = {"traceparent": SAMPLED}
    answer = client.patch(f"/api/doctors/{doctor.pk}/?last_name=Byron", {"bio": "s3cret-body"}, headers=headers)
    assert answer.status_code == 200
    (span,) = spans.take()
    assert (span.name, span.kind) == ("PATCH /api/doctors/<int:pk>/", SpanKind.SERVER)
    assert (trace_of(span), parent_of(span)) == (TRACE, PARENT)
    assert span.attributes == {
        "http.request.method": "PATCH",
        "url.scheme": "http",
        "url.path": f"/api/doctors/{doctor.pk}/",
        "http.route": "/api/doctors/<int:pk>/",
        "http.response.status_code": 200,
    }
    (event,) = events()
    assert event["audit"]["context"]["traceparent"] == traceparent_of(span)
    assert {line["trace_id"] for line in lines} == {TRACE}


def test_a_request_without_a_trace_begins_one(spans: Memory, lines: list[dict[str, Any]]) -> None:
    Client().get("/nowhere/")
    (span,) = spans.take()
    assert (span.name, span.parent) == ("GET", None)
    assert {line["trace_id"] for line in lines} == {trace_of(span)}


def test_what_the_caller_does_not_sample_is_not_recorded_and_keeps_its_trace(
    spans: Memory, lines: list[dict[str, Any]]
) -> None:
    Client().get("/nowhere/", headers={"traceparent": UNSAMPLED})
    assert spans.take() == []
    assert {line["trace_id"] for line in lines} == {TRACE}


def test_probes_have_no_span(spans: Memory) -> None:
    Client().get("/livez")
    assert spans.take() == []


def test_requests_under_asgi_do_not_mix(spans: Memory) -> None:
    async def ask() -> None:
        client = AsyncClient()
        traces = [f"00-{number:032x}-{PARENT}-01" for number in range(1, 11)]
        await asyncio.gather(*(client.get(f"/nowhere/{each}/", headers={"traceparent": each}) for each in traces))

    asyncio.run(ask())
    found = {(span.attributes or {})["url.path"]: trace_of(span) for span in spans.take()}
    assert found == {f"/nowhere/00-{number:032x}-{PARENT}-01/": f"{number:032x}" for number in range(1, 11)}


def test_a_span_of_another_instrumentation_is_the_one_that_events_carry(spans: Memory) -> None:
    seen: list[str | None] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.META.get("auditlog.traceparent"))
        return HttpResponse()

    handler: Any = TracingMiddleware(view)
    with trace.get_tracer("another").start_as_current_span("theirs"):
        handler(RequestFactory().get("/")).close()
    (theirs,) = spans.take()
    assert seen == [traceparent_of(theirs)]


def test_a_failure_of_the_server_is_an_error_of_its_span(spans: Memory) -> None:
    handler: Any = TracingMiddleware(lambda _request: HttpResponse(status=503))
    handler(RequestFactory().get("/")).close()

    def crash(_request: HttpRequest) -> HttpResponse:
        raise ValueError

    crashing: Any = TracingMiddleware(crash)
    with pytest.raises(ValueError, match=r"^$"):
        crashing(RequestFactory().get("/"))
    answered, crashed = spans.take()
    assert [(span.attributes or {})["error.type"] for span in (answered, crashed)] == ["503", "ValueError"]
    assert {span.status.status_code for span in (answered, crashed)} == {StatusCode.ERROR}


def test_i8_an_exporter_that_fails_fails_no_request(spans: Memory, events: Events) -> None:
    client = APIClient()
    client.force_login(_superuser())
    events()
    with spans.failing() as calls:
        answer = client.post("/api/specialties/", {"name": "Cardiology"})
    assert (answer.status_code, len(calls)) == (201, 1)
    assert [event["audit"]["action"] for event in events()] == ["create"]
