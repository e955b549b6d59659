"""Logging: structlog events, as JSON lines in production and as coloured text on a terminal."""

from __future__ import annotations

import sys
from typing import Any

import structlog

from settings.env import env
from settings.tracebacks import formatted

LOG_FORMAT = env.choice("LOG_FORMAT", options=("json", "console"), default="json" if env.production else "console")
LOG_LEVEL = env.choice("LOG_LEVEL", options=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")

# What tells the lines of a request from others: left by `auditlog.request`.
REQUEST_KEY = "auditlog.log_fields"


def add_request_ids(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Add the ids of the request to what Django says of its answer: it does so when all middlewares have returned."""
    request = getattr(event["_record"], "request", None)
    return {**getattr(request, "META", {}).get(REQUEST_KEY, {}), **event}


PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.ExceptionRenderer(formatted),
]


def logging_settings() -> dict[str, Any]:
    """Return LOGGING; configures structlog on the way, so that both write the same lines."""
    structlog.configure(
        processors=[*PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if LOG_FORMAT == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
                "foreign_pre_chain": [*PROCESSORS, add_request_ids],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
        "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
        "loggers": {"django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
    }
