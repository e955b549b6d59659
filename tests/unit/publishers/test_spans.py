"""An event of a sampled trace has a span while it is on its way, and no other event has."""

from __future__ import annotations

from opentelemetry.trace import SpanKind, StatusCode

from publishers.outbox import Row
from publishers.spans import ended, send_span
from tests.unit.auditlog.spans import PARENT, SAMPLED, TRACE, UNSAMPLED, Memory, parent_of, trace_of, traceparent_of

TOPIC = "audit.doctors.doctor"
ROW = Row("(0,1)", 7, 3, TOPIC, "17", "019ab0c2-7c1e-7e0a-8d1e-3b1f0d6a2c11", "t.v1", "2026-11-23T09:05:00.000001Z", 1,
          None, SAMPLED, "{}")  # fmt: skip


def test_a_sampled_event_is_sent_in_a_span_of_its_trace_that_its_header_names() -> None:
    memory = Memory()
    span = send_span(memory.tracer, ROW)
    assert span is not None
    assert memory.take() == []
    ended(span, partition=2, offset=41, error=None)
    (sent,) = memory.take()
    assert (sent.name, sent.kind, trace_of(sent), parent_of(sent)) == (
        f"send {TOPIC}",
        SpanKind.PRODUCER,
        TRACE,
        PARENT,
    )
    assert sent.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": TOPIC,
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 41,
        "messaging.message.id": ROW.event_id,
    }
    assert span.traceparent == traceparent_of(sent)


def test_what_the_broker_refuses_is_an_error_without_a_place() -> None:
    memory = Memory()
    span = send_span(memory.tracer, ROW)
    assert span is not None
    ended(span, partition=-1, offset=-1001, error="MSG_SIZE_TOO_LARGE")
    (sent,) = memory.take()
    assert sent.status.status_code is StatusCode.ERROR
    assert sent.attributes is not None
    assert sent.attributes["error.type"] == "MSG_SIZE_TOO_LARGE"
    assert {"messaging.kafka.offset", "messaging.destination.partition.id"}.isdisjoint(sent.attributes)


def test_no_span_is_made_of_what_is_not_sampled_or_in_no_trace_or_without_tracing() -> None:
    memory = Memory()
    assert send_span(memory.tracer, ROW._replace(traceparent=UNSAMPLED)) is None
    assert send_span(memory.tracer, ROW._replace(traceparent=None)) is None
    assert send_span(None, ROW) is None
