"""What the tests of capture share: what an event says, in short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from auditlog.frames import frames_scope
from tests.conftest import Events

Told = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def no_frames() -> Iterator[None]:
    """Begin without what other tests left open, as a request does."""
    with frames_scope():
        yield


@pytest.fixture
def told(events: Events) -> Told:
    """Return (model, action, key, {column: (before, after)} of what differs) of each event since the last call."""

    def take() -> list[tuple[Any, ...]]:
        return [(e["audit"]["model"], e["audit"]["action"], e["audit"]["object_pk"], differences(e)) for e in events()]

    return take


def differences(event: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the columns that differ between the images of an event."""
    before, after = event["before"] or {}, event["after"] or {}
    return {
        column: (before.get(column), after.get(column))
        for column in {**before, **after}
        if before.get(column) != after.get(column) and column != "updated_at"
    }
