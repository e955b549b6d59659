"""The spans of a batch that was stored: a CONSUMER for each event of a sampled trace, below what its headers name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from auditlog import tracing
from consumers.records import Partition, Record

if TYPE_CHECKING:
    from auditlog.spans import Tracer


def traceparent_of(record: Record) -> str | None:
    """Return the trace context in the headers of a record, if there is one."""
    header = record.header("traceparent")
    return None if header is None else tracing.valid(header.decode("ascii", errors="replace"))


def record_spans(
    tracer: Tracer, records: Iterable[Record], *, group: str, began_ns: int, errors: Mapping[tuple[Partition, int], str]
) -> None:
    """
    Record that these were stored, from `began_ns` (Unix time) until now; `errors` says which became dead letters.

    Called after the commit, so that nothing here can fail or delay it.
    """
    from auditlog.spans import SpanKind

    for record in records:
        traceparent = traceparent_of(record)
        if traceparent is None or not tracing.is_sampled(traceparent):
            continue
        topic = record.partition.topic
        span = tracer.start(
            f"process {topic}",
            kind=SpanKind.CONSUMER,
            carrier={"traceparent": traceparent},
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(record.partition.number),
                "messaging.kafka.offset": record.offset,
                "messaging.consumer.group.name": group,
            },
            at_ns=began_ns,
        )
        if span is not None:
            labelled = record.header("ce_id")
            named = {} if labelled is None else {"messaging.message.id": labelled.decode("ascii", errors="replace")}
            span.end(attributes=named, error=errors.get((record.partition, record.offset)))
