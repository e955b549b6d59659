"""What is stored is a span of the trace that the record's header names."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.utils import timezone
from opentelemetry.trace import SpanKind, StatusCode

from consumers.faults import OffsetConflict
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from tests.integration.consumers.conftest import GROUP, stored_ids
from tests.unit.auditlog.spans import PARENT, SAMPLED, TRACE, UNSAMPLED, Memory, parent_of, trace_of
from tests.unit.consumers.builders import event, record

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
ONE = Partition("test.doctors.doctor", 3)


def traced(offset: int, header: bytes | None, value: Any = None) -> Record:
    """Return the record of an event of now with this trace context."""
    content = value or event(at=timezone.now())
    labels = [("ce_id", content["audit"]["event_id"].encode())] if isinstance(content, dict) else []
    return record(content, partition=ONE, offset=offset, headers=[*labels, ("traceparent", header)])


def test_a_stored_event_is_a_consumers_span_below_its_header(projector: Projector) -> None:
    memory = Memory()
    stored = traced(0, SAMPLED.encode())
    others = [traced(1, UNSAMPLED.encode()), traced(2, b"\xff"), traced(3, None)]
    before = timezone.now()
    Projector(group=GROUP, tracer=memory.tracer).store(Batch((stored, *others), {ONE: None}))
    (span,) = memory.take()
    assert (span.name, span.kind) == ("process test.doctors.doctor", SpanKind.CONSUMER)
    assert (trace_of(span), parent_of(span)) == (TRACE, PARENT)
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": ONE.topic,
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": GROUP,
        "messaging.message.id": json.loads(stored.value or b"")["audit"]["event_id"],
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert before.timestamp() * 1e9 < span.start_time < span.end_time
    assert len(stored_ids()) == 4


def test_a_dead_letter_is_a_span_with_its_reason(projector: Projector) -> None:
    memory = Memory()
    Projector(group=GROUP, tracer=memory.tracer).store(Batch((traced(0, SAMPLED.encode(), b"{"),), {ONE: None}))
    (span,) = memory.take()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "invalid_json"


def test_what_was_not_stored_is_no_span(projector: Projector) -> None:
    memory = Memory()
    with pytest.raises(OffsetConflict):
        Projector(group=GROUP, tracer=memory.tracer).store(Batch((traced(9, SAMPLED.encode()),), {ONE: 9}))
    assert memory.take() == []


def test_the_log_names_the_traces_of_a_batch_and_of_each_event(
    projector: Projector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "consumers.projector")
    projector.store(Batch((traced(0, UNSAMPLED.encode()), traced(1, None)), {ONE: None}))
    lines = [line.msg for line in caplog.records if isinstance(line.msg, dict)]
    (batch,) = [line for line in lines if line["event"] == "consumer.stored"]
    each = [line for line in lines if line["event"] == "consumer.event_stored"]
    assert batch["trace_ids"] == [TRACE]
    assert [(line["offset"], line["trace_id"], line["request_id"]) for line in each] == [
        (0, TRACE, "0f6e"),
        (1, None, "0f6e"),
    ]
    assert sorted(line["event_id"] for line in each) == sorted(stored_ids())
