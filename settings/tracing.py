"""Tracing: whether requests, publishing and storing are recorded as spans. The variables OTEL_… say the rest."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from settings.env import Environment, env

# The exporter brings everything else along.
EXPORTER = "opentelemetry-exporter-otlp-proto-http"


def is_wanted(source: Environment, *, package: str = EXPORTER) -> bool:
    """Return whether spans are recorded; a process that should and cannot does not start."""
    wanted = source.boolean("AUDITLOG_TRACING", default=False)
    if wanted:
        try:
            distribution(package)
        except PackageNotFoundError:
            source.problems["AUDITLOG_TRACING"] = f"needs the extra `otel`: {package} is not installed"
    return wanted


AUDITLOG_TRACING = is_wanted(env)
