"""I1 to I4: for random programs, the events are what row triggers saw, and replaying them gives the tables."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings

from tests import database
from tests.conformance import oracle
from tests.conformance.oracle import HIDDEN, LINKS, ROWS, Image, Lives
from tests.conformance.programs import Step, begin, programs, run

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "50"))
EVENTS = "SELECT value FROM auditlog_outboxevent ORDER BY id"
FIELDS = {
    "genres": LINKS[0]._meta.db_table,
    "readers": LINKS[1]._meta.db_table,
    "friends": LINKS[2]._meta.db_table,
}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(program=programs)
@example(program=[("link", 6, 1, 2)])  # links move to another target
@example(program=[("write_sets", 3, 3, 2)])  # conflicts update, and a row is new
@example(program=[("write_sets", 5, 0, 3), ("write_sets", 3, 3, 1)])  # a key changes, and its place is taken
@example(program=[("delete", 4, 0, 0), ("delete", 2, 0, 1)])  # links and references go with what is deleted
def test_i2_i3_events_are_what_triggers_saw(program: list[Step], watched: psycopg.Connection[Any]) -> None:
    database.empty()
    begin()
    run(program)
    seen = oracle.noted(watched)
    events = [json.loads(value, parse_float=Decimal) for (value,) in watched.execute(EVENTS).fetchall()]
    told = told_lives(events)
    assert told == as_told(oracle.lives(seen))
    assert links_left(events) == {(t, o, target(watched, t, x)) for t, o, x in oracle.links(seen)}
    assert replayed(told) == tables(watched)


def told_lives(events: list[dict[str, Any]]) -> Lives:
    """Return what the events say happened to each object, in order."""
    found: Lives = {}
    for event in events:
        if event["op"] != "m":
            key = event["audit"]["model"], event["audit"]["object_pk"]
            images = (shown(key[0], event["before"]), shown(key[0], event["after"]))
            found.setdefault(key, []).append((event["op"], *images))
    return found


def as_told(lives: Lives) -> Lives:
    """Return the oracle's lives with values as events write them."""
    return {key: [(op, shown(key[0], old), shown(key[0], new)) for op, old, new in life] for key, life in lives.items()}


def shown(label: str, image: Image) -> Image:
    """Return an image as an event shows it: decimals are text, masked and excluded columns are not compared."""
    if image is None:
        return None
    hidden = HIDDEN | ({"code"} if label == "samples.book" else set())
    return {k: str(v) if isinstance(v, Decimal) else v for k, v in image.items() if k not in hidden}


def links_left(events: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return (table, owner, target) of the links that the events leave, each of which came and went by turns."""
    left: set[tuple[str, str, str]] = set()
    for event in events:
        m2m = event["audit"]["m2m"]
        if event["op"] == "m" and m2m:
            table, owner = FIELDS[m2m["field"]], event["audit"]["object_pk"]
            removed = {(table, owner, target) for target in m2m["removed"]}
            added = {(table, owner, target) for target in m2m["added"]}
            assert removed <= left
            left = (left - removed) | added
    return left


def target(owner: psycopg.Connection[Any], table: str, held: str) -> str:
    """Return the key of a target that a link names by another column of it."""
    if table != FIELDS["readers"]:
        return held
    (key,) = owner.execute("SELECT id::text FROM samples_reader WHERE card = %s", [held]).fetchone() or ("",)
    return str(key)


def replayed(lives: Lives) -> dict[tuple[str, str], Image]:
    """Return the rows that the events leave."""
    return {key: life[-1][2] for key, life in lives.items() if life[-1][2] is not None}


def tables(owner: psycopg.Connection[Any]) -> dict[tuple[str, str], Image]:
    """Return the rows that are there."""
    owner.execute("SET timezone = 'UTC'")
    found: dict[tuple[str, str], Image] = {}
    for model in ROWS:
        rows = owner.execute(f"SELECT row_to_json(t)::text FROM {model._meta.db_table} t".encode()).fetchall()
        for (text,) in rows:
            image = oracle.parsed(text)
            found[model._meta.label_lower, oracle.key_of(model, image)] = shown(model._meta.label_lower, image)
    return found
