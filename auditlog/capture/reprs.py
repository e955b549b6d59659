"""What an object is called: `audit.object_repr` and the labels of links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.db import models

from auditlog import metrics
from auditlog.text import REPLACEMENT, clean

log = structlog.get_logger(__name__)

REPR_CHARACTERS = 1_000
# Stands in a repr for a primary key that the INSERT has yet to make; auditlog_repr() puts the key in.
KEY_MARK = "\x01"


def text_of(instance: models.Model, make: Callable[[Any], str] | None = str) -> str | None:
    """
    Return the text of an object, or None where there is none to be had.

    A failing `__str__` must not fail the write, and its message may hold values: only its type is logged.
    """
    if make is None:
        return None
    if make is str and instance.pk is None and type(instance).__str__ is models.Model.__str__:
        # Django's own text holds the key, which is not known before the INSERT.
        return f"{type(instance).__name__} object ({KEY_MARK})"
    try:
        return clean(str(make(instance)), limit=REPR_CHARACTERS).replace(KEY_MARK, REPLACEMENT)
    except Exception as exc:  # noqa: BLE001 - anything may come out of an application's __str__
        label = instance._meta.label_lower
        metrics.REPR_FAILURES.labels(model=label).inc()
        log.warning("capture.repr_failed", model=label, error=type(exc).__name__)
        return None
