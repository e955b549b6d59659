"""Spans that stay in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from auditlog.spans import Tracer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Exporter(SpanExporter):
    """Keeps spans; while `calls` is a list, it fails and notes it."""

    def __init__(self) -> None:
        self.kept = InMemorySpanExporter()
        self.calls: list[int] | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them, or fail."""
        if self.calls is None:
            return self.kept.export(spans)
        self.calls.append(len(spans))
        raise RuntimeError("no collector")


class Memory:
    """A provider of spans, and those that have ended."""

    def __init__(self) -> None:
        self._exporter = Exporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(self.provider.get_tracer("test"))

    def take(self) -> list[ReadableSpan]:
        """Return the spans that ended since the last call."""
        found = list(self._exporter.kept.get_finished_spans())
        self._exporter.kept.clear()
        return found

    @contextmanager
    def failing(self) -> Iterator[list[int]]:
        """Have every export of this block fail; yields how many spans each had."""
        calls: list[int] = []
        self._exporter.calls = calls
        yield calls
        self._exporter.calls = None


def traceparent_of(span: ReadableSpan) -> str:
    """Return a span's context as it travels."""
    assert span.context is not None
    return f"00-{trace_of(span)}-{id_of(span)}-{span.context.trace_flags:02x}"


def trace_of(span: ReadableSpan) -> str:
    """Return the id of a span's trace."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    """Return a span's id."""
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str:
    """Return the id of a span's parent."""
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"
