"""What an object was at an instant is what the table held at that instant, and who set it is who wrote it last."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from django.db.models import QuerySet
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.models import AuditLog
from auditlog.queries.objects import Subject, state_at
from auditlog.queries.provenance import Origin
from auditlog.roles import Role
from tests import database
from tests.conformance import oracle
from tests.conformance.oracle import HIDDEN, Image, Lives
from tests.conformance.programs import Step, begin, programs, run
from tests.conformance.test_oracle import FIELDS, shown, tables, target
from tests.integration.consumers.captured import project
from tests.integration.consumers.conftest import acting_as

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "6"))
AUDITOR = Rights(principal="user:1", scopes=frozenset({Scope.READ, Scope.READ_SENSITIVE}))
# Instants of a program that are looked at, beside its end.
LOOKED_AT = 2

Key = tuple[str, str]


class Moment(NamedTuple):
    """What the tables held at an instant; links as (field, owner, target)."""

    at: datetime
    rows: dict[Key, Image]
    links: set[tuple[str, str, str]]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=programs, choice=st.randoms(use_true_random=False))
@example(program=[("link", 6, 1, 2), ("delete", 0, 0, 0)], choice=None)
@example(program=[("write_sets", 5, 0, 3), ("write_sets", 3, 3, 1)], choice=None)  # a key changes, its place is taken
def test_a_state_is_what_the_table_held_at_that_instant(
    program: list[Step], choice: Any, watched: psycopg.Connection[Any]
) -> None:
    database.empty()
    begin()
    moments = [moment(watched)]
    for step in program:
        run([step])
        moments.append(moment(watched))
    with acting_as(Role.OWNER, alias="default"):  # who may read the outbox
        project()
    chosen = moments if choice is None else choice.sample(moments, min(LOOKED_AT, len(moments)))
    everything = set().union(*(one.rows for one in moments))
    for one in [*chosen, moments[-1]]:
        for key in everything:
            assert_state(key, one)
    assert_setters(oracle.lives(oracle.noted(watched)), moments[-1].at)


def moment(owner: psycopg.Connection[Any]) -> Moment:
    """Return what the tables hold, and the time of the database's clock."""
    rows, links = tables(owner), set()
    for field, table in FIELDS.items():
        held = oracle.ENDS[table]
        for one, other in owner.execute(f"SELECT {held[0]}::text, {held[1]}::text FROM {table}".encode()).fetchall():
            links.add((field, one, target(owner, table, other)))
    (at,) = owner.execute("SELECT clock_timestamp()").fetchone() or (datetime.now(UTC),)
    return Moment(at, rows, links)


def assert_state(key: Key, one: Moment) -> None:
    """Compare what the audit log says of an object with what the table held."""
    state = state_at(Subject(*key, AUDITOR), one.at)
    held = state.held if state else None
    image = None if held is None else shown(key[0], {value.column: value.value for value in held.values()})
    expected = one.rows.get(key)
    assert (image and without_hidden(image)) == (expected and without_hidden(expected)), (key, one.at)
    told = {
        (field, key[1], member.target)
        for field, links in ((state and state.memberships) or {}).items()
        for member in links.members.values()
    }
    assert told == {link for link in one.links if link[1] == key[1] and owner_of(link[0]) == key[0]}


def assert_setters(lives: Lives, at: datetime) -> None:
    """Compare who the audit log says set each column with the last change of it that the triggers noted."""
    for key, life in lives.items():
        state = state_at(Subject(*key, AUDITOR), at)
        if state is None or state.held is None:
            continue
        order = list(events_of_rows(key).values_list("event_id", flat=True))
        for value in state.held.values():
            if value.column not in HIDDEN | {"code"}:
                assert value.origin is Origin.EVENT
                assert value.deed is not None
                assert order.index(value.deed.event_id) == last_change(life, value.column), (key, value)


def events_of_rows(key: Key) -> QuerySet[AuditLog]:
    """Return the row events of an object, in the order of the oracle's life of it."""
    rows = AuditLog.objects.filter(model=key[0], object_pk=key[1], changes__isnull=False)
    return rows.order_by("sequence")


def last_change(life: list[tuple[str, Image, Image]], column: str) -> int:
    """Return the place of the last change of a column in a life; a create sets all of them."""
    return max(
        place
        for place, (operation, old, new) in enumerate(life)
        if operation == "c" or (old or {}).get(column) != (new or {}).get(column)
    )


def without_hidden(image: dict[str, Any]) -> dict[str, Any]:
    """Return an image without what is masked or not recorded, as the oracle's are."""
    return {name: str(v) if isinstance(v, Decimal) else v for name, v in image.items() if name not in HIDDEN}


def owner_of(field: str) -> str:
    """Return the model that declares a many-to-many field."""
    return "samples.reader" if field == "friends" else "samples.book"
