"""What the rows of the matrix share: an event in short, as it must be and with nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from auditlog.frames import frames_scope
from tests.conftest import Events
from tests.integration.capture.conftest import differences

# (action, model, key, what changed): {column: (before, after)}, or (field, added, removed) of a membership.
Told = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def no_frames() -> Iterator[None]:
    """Begin without what other tests left open, as a request does."""
    with frames_scope():
        yield


@pytest.fixture
def told(events: Events) -> Told:
    """Return all events since the last call, in short; `updated_at` is left out."""
    return lambda: [in_short(event) for event in events()]


def in_short(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return what an event says."""
    audit = event["audit"]
    m2m = audit["m2m"]
    change = differences(event) if m2m is None else (m2m["field"], m2m["added"], m2m["removed"])
    return audit["action"], audit["model"].removeprefix("samples."), audit["object_pk"], change
