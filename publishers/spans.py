"""The span of one event on its way to the broker: a PRODUCER, below the request that wrote the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlog.tracing import is_sampled
from publishers.outbox import Row

if TYPE_CHECKING:
    from auditlog.spans import OpenSpan, Tracer


def send_span(tracer: Tracer | None, row: Row) -> OpenSpan | None:
    """Begin the span of an event of a sampled trace; for all others this costs a look at two characters."""
    if tracer is None or row.traceparent is None or not is_sampled(row.traceparent):
        return None
    from auditlog.spans import SpanKind

    return tracer.start(
        f"send {row.topic}",
        kind=SpanKind.PRODUCER,
        carrier={"traceparent": row.traceparent},
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": row.topic,
            "messaging.message.id": row.event_id,
        },
    )


def ended(span: OpenSpan, *, partition: int | None, offset: int | None, error: str | None) -> None:
    """End a span with what the broker reported."""
    attributes: dict[str, str | int] = {}
    if partition is not None and partition >= 0:
        attributes["messaging.destination.partition.id"] = str(partition)
    if offset is not None and offset >= 0:
        attributes["messaging.kafka.offset"] = offset
    span.end(attributes=attributes, error=error)
