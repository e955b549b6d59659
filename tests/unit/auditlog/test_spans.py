"""A collector that is away costs spans, and no process its end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from auditlog import spans
from auditlog.spans import Processor


class Hanging(SpanExporter):
    """An exporter whose collector never answers."""

    def __init__(self) -> None:
        self.given_up = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Try until told to give up."""
        self.given_up.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Give up."""
        self.given_up.set()


# The library itself would wait for 30 seconds.
@pytest.mark.timeout(20)
def test_a_process_that_ends_does_not_wait_for_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "LAST_EXPORT_SECONDS", 0.05)
    exporter = Hanging()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Processor(exporter))
    provider.get_tracer("test").start_span("kept").end()
    provider.shutdown()
    assert exporter.given_up.is_set()
