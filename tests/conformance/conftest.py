"""
What the rows of the matrix share: objects on record, and an event in short.

The matrix is the 41 operations that audit libraries are compared by, each with exactly the events that are right for
it. The numbers are those of the comparison; what its rows ask of raw SQL is answered by docs/explanation/limits.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from auditlog.frames import frames_scope
from tests.conformance import oracle
from tests.conftest import Events
from tests.integration.capture.conftest import differences
from tests.samples.models import Book, Genre

# (action, model, key, what changed): {column: (before, after)}, or (field, added, removed) of a membership.
Told = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def watched(owner_connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The owner's connection, while row triggers note what happens."""
    with oracle.installed(owner_connection):
        yield owner_connection


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


@pytest.fixture
def book(events: Events) -> Book:
    """A book that is on record."""
    made = Book.objects.create(title="Emma", quantity=1, price=Decimal("10.00"))
    events()
    return made


@pytest.fixture
def genres(events: Events) -> list[Genre]:
    """Three genres that are on record."""
    made = Genre.objects.bulk_create([Genre(name=name) for name in ("a", "b", "c")])
    events()
    return made


def key(row: Any) -> str:
    """Return the key of a row as events have it."""
    return str(row.pk)
