"""
Spans: the only module that knows OpenTelemetry. Imported where tracing is on, see `auditlog.tracing`.

What is recorded is handed to a queue in memory; a thread of its own exports it. A collector that is away, or an
exporter that fails, costs spans and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import ProxyTracerProvider, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from auditlog.tracing import Service

__all__ = ["OpenSpan", "SpanKind", "Tracer"]

Attributes = Mapping[str, str | int]
PROPAGATOR = TraceContextTextMapPropagator()
# What the SDK says where the environment names no service.
UNNAMED = "unknown_service"
# A process that ends waits no longer for a collector to take the last spans.
LAST_EXPORT_SECONDS = 3.0


class OpenSpan:
    """A span that is being recorded; one that is never ended is never exported."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = _traceparent(span)

    def end(self, *, attributes: Attributes, error: str | None = None, name: str | None = None) -> None:
        """End it; `error` is a short, constant name of what went wrong."""
        if name is not None:
            self._span.update_name(name)
        self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the parent of what other instrumentations record in this block."""
        with trace.use_span(self._span, record_exception=False, set_status_on_exception=False):
            yield


class Processor(BatchSpanProcessor):
    """Exports in a thread of its own. The library's would let a collector that is away delay the end by 30 seconds."""

    def shutdown(self) -> None:
        """Export what is left, for a few seconds at most."""
        self._batch_processor.shutdown(timeout_millis=round(LAST_EXPORT_SECONDS * 1000))


class Tracer:
    """Makes spans of one service."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @classmethod
    def of(cls, service: Service) -> Tracer:
        """Return the tracer of the application's provider; where it has none, of one that the environment describes."""
        provider = trace.get_tracer_provider()
        if isinstance(provider, ProxyTracerProvider):
            provider = _own_provider(service)
        return cls(trace.get_tracer("auditlog", tracer_provider=provider))

    def start(
        self, name: str, *, kind: SpanKind, carrier: Mapping[str, str], attributes: Attributes, at_ns: int | None = None
    ) -> OpenSpan | None:
        """
        Begin a span below the context in `carrier` (`traceparent`, `tracestate`); None where it is not sampled.

        `at_ns` is when it began, in nanoseconds of Unix time; by default now.
        """
        parent = PROPAGATOR.extract(carrier)
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=attributes, start_time=at_ns)
        return OpenSpan(span) if span.is_recording() else None


def foreign_traceparent() -> str | None:
    """Return the context of the span that another instrumentation has made current."""
    span = trace.get_current_span()
    return _traceparent(span) if span.get_span_context().is_valid else None


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@cache
def _own_provider(service: Service) -> TracerProvider:
    """Make a provider out of the variables OTEL_…, for the whole process: sampler, resource, exporter over HTTP."""
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: service.value}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(Processor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider
