"""The audit log that measurements ask about is one that could have been: every object's versions fit together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from bench import history
from bench.history import History
from doctors import audit as _audited  # noqa: F401 - what is registered
from tests.integration.auditlog_api.conftest import new_partitions_go, partition_names  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

ROWS = 8_000
UNTIL = datetime.now(tz=UTC)
SUMMARY = """
SELECT count(*), min(occurred_at), max(occurred_at) < %s, array_agg(DISTINCT model ORDER BY model)
FROM auditlog_auditlog
"""
# Versions of an object beside the ones before.
VERSIONS = """
SELECT model, object_pk, action, changes, changed_fields, before, after,
    lag(after) OVER (PARTITION BY model, object_pk ORDER BY sequence) AS left_by_the_last
FROM auditlog_auditlog WHERE after IS NOT NULL
"""
OF_ONE = (
    "SELECT count(*) FROM auditlog_auditlog WHERE model = 'doctors.doctor' AND object_pk = %s AND after IS NOT NULL"
)
# Offsets of a partition: each once, from 0 on.
OFFSETS = """
SELECT topic, partition, count(*), count(DISTINCT "offset"), min("offset"), max("offset")
FROM auditlog_auditlog GROUP BY topic, partition
"""


@pytest.fixture
def log(new_partitions_go: None, owner_connection: psycopg.Connection[Any]) -> Iterator[History]:  # noqa: F811
    """Two months and what there is of the third."""
    yield history.fill(owner_connection, rows=ROWS, until=UNTIL, say=lambda _line: None, months_back=2)
    owner_connection.execute("TRUNCATE auditlog_auditlog, auditlog_consumeroffset")


def test_it_is_as_large_as_asked_for_and_about_every_registered_model(
    log: History, owner_connection: psycopg.Connection[Any]
) -> None:
    found = owner_connection.execute(SUMMARY, [UNTIL]).fetchone()

    models = ["appointment", "department", "doctor", "doctorprofile", "patient", "practicelocation", "specialty"]
    expected = ["auditlog.system", "auth.user", *(f"doctors.{name}" for name in models)]
    assert found == (ROWS, log.since, True, expected)


def test_what_a_version_left_is_what_the_next_one_found(
    log: History, owner_connection: psycopg.Connection[Any]
) -> None:
    versions = owner_connection.execute(VERSIONS).fetchall()

    assert len(versions) > ROWS / 2
    for _model, _key, action, changes, fields, before, after, left in versions:
        assert before == left
        assert (action == "create") is (before is None)
        assert set(changes) == set(fields)
        changed = {name for name in after if (before or {}).get(name) != after[name]}
        assert {name.removesuffix("_id") for name in changed} == set(changes)
        assert all(old != new for old, new in changes.values())


def test_one_object_has_a_version_of_each_round(log: History, owner_connection: psycopg.Connection[Any]) -> None:
    (count,) = owner_connection.execute(OF_ONE, [str(log.often_changed)]).fetchone() or (0,)

    assert count == ROWS // history.PLACES


def test_offsets_have_no_gap_and_the_next_ones_are_known(
    log: History, owner_connection: psycopg.Connection[Any]
) -> None:
    partitions = owner_connection.execute(OFFSETS).fetchall()
    following = owner_connection.execute("SELECT topic, partition, next_offset FROM auditlog_consumeroffset").fetchall()

    for topic, partition, count, different, lowest, highest in partitions:
        assert (different, lowest, highest) == (count, 0, count - 1)
        assert (topic, partition, count) in following
