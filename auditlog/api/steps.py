"""Holds answers until a full step of time has passed, so that time does not tell what their callers may not see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from django.conf import settings

from auditlog.access.rights import Rights

DEFAULT_SECONDS = 0.1


def is_needed(rights: Rights) -> bool:
    """Tell whether something is hidden from a caller: rows, or values."""
    return not rights.sees_everything or bool(rights.hidden_classes)


def wait_seconds(*, began: float, now: float, step: float) -> float:
    """Return how long it is until the next full step since the beginning, at least one; 0 where there are no steps."""
    if step <= 0:
        return 0.0
    passed = now - began
    return max(max(math.ceil(passed / step), 1) * step - passed, 0.0)


@contextmanager
def held(*, if_true: Callable[[], bool]) -> Iterator[None]:
    """
    Let a block end on a full step of AUDITLOG_ANSWER_STEP_SECONDS, however it ends, if that is true by then.

    A thread waits meanwhile: to be opened around transactions, not in one.
    """
    began = monotonic()
    try:
        yield
    finally:
        step = float(getattr(settings, "AUDITLOG_ANSWER_STEP_SECONDS", DEFAULT_SECONDS))
        if if_true() and (seconds := wait_seconds(began=began, now=monotonic(), step=step)):
            sleep(seconds)
