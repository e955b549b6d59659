"""Row security, the second wall: with the queries' own conditions away, it alone hides what a caller may not see."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from psycopg import sql
from rest_framework.test import APIClient

from auditlog import api_keys
from auditlog.access import grants, policies
from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.access.wall import behind_wall
from auditlog.models import AccessGrant, AuditLog
from auditlog.queries import compiler
from auditlog.roles import Role
from tests.conftest import ConnectAs
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf, partition_names
from tests.integration.consumers.conftest import acting_as

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
READ, OWN = Scope.READ, Scope.READ_OWN
EVERYTHING = Rights("user:1", frozenset({READ}))


def reader(*, models: set[str] | None = None, **labels: set[str]) -> Rights:
    """Return the rights of somebody who reads these models and labels."""
    values = {dimension: frozenset(members) for dimension, members in labels.items()}
    return Rights("user:2", frozenset({READ}), "2", None if models is None else frozenset(models), values)


def seen(rights: Rights) -> set[str | None]:
    """Return what the database shows when everything is asked for."""
    with behind_wall(rights):
        return set(AuditLog.objects.values_list("object_repr", flat=True))


@pytest.fixture
def stored(store: Store) -> dict[str, uuid.UUID]:
    """Events by their name."""
    rows: dict[str, dict[str, Any]] = {
        "plain": {},
        "own": {"actor_id": "2"},
        "three": {"labels": ["department:3"]},
        "four": {"labels": ["department:4"], "actor_id": "2"},
        "moved": {"labels": ["department:3", "department:4"]},
        "both": {"labels": ["department:3", "tenant:x"], "model": "doctors.patient"},
        "trap": {"labels": ["tenant:x", "tenant:y"], "model": "doctors.patient"},
    }
    return {name: store(number, object_repr=name, **row) for number, (name, row) in enumerate(rows.items())}


@pytest.mark.postgres_versions
def test_the_wall_alone_hides_every_row_that_it_should(stored: dict[str, uuid.UUID]) -> None:
    own = Rights("user:2", frozenset({OWN}), "2")

    assert seen(EVERYTHING) == set(stored)
    assert seen(reader(department={"3"})) == {"three", "moved", "both"}
    assert seen(reader(department={"3", "4"})) == {"three", "four", "moved", "both"}
    assert seen(reader(department={"3"}, tenant={"x", "y"})) == {"both"}
    assert seen(reader(models={"doctors.patient"})) == {"both", "trap"}
    assert seen(reader(models={"doctors.doctor"}, department={"3"})) == {"three", "moved"}
    assert seen(own) == {"own", "four"}
    assert seen(Rights("user:2", frozenset({OWN}), "2", None, {"department": frozenset({"4"})})) == {"four"}
    for nothing in (
        reader(models=set()),
        reader(department=set()),
        reader(department={"3"}, tenant=set()),
        Rights("user:2", frozenset({OWN}), None),
        Rights("user:2", frozenset({Scope.ADMIN}), "2", frozenset({"doctors.doctor"})),
    ):
        assert seen(nothing) == set(), nothing


@pytest.mark.postgres_versions
def test_the_same_rows_come_through_the_queries_own_conditions(stored: dict[str, uuid.UUID]) -> None:
    for rights in (
        EVERYTHING,
        reader(department={"3"}, tenant={"x", "y"}),
        reader(models={"doctors.patient"}),
        reader(models=set()),
        Rights("user:2", frozenset({OWN}), "2"),
        Rights("user:2", frozenset({OWN}), None),
    ):
        rows = compiler.rows(compiler.Query(), rights)
        assert set(rows.values_list("object_repr", flat=True)) == seen(rights), rights


def test_the_api_hides_rows_even_where_the_queries_would_not(
    stored: dict[str, uuid.UUID], user_of: UserOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = user_of()
    grants.give(AccessGrant(user=user, labels=["department:3"], reason="test"))
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user, name='test')}")
    monkeypatch.setattr(compiler, "_seen_by", lambda _rights: Q())

    names = [event["object_repr"] for event in caller.get(EVENTS).json()["results"]]
    assert names == ["three", "moved", "both"]
    assert caller.get(f"{EVENTS}{stored['three']}/").status_code == 200
    assert caller.get(f"{EVENTS}{stored['four']}/").status_code == 404


@pytest.mark.postgres_versions
def test_what_is_hidden_from_one_caller_is_not_hidden_from_the_next(stored: dict[str, uuid.UUID]) -> None:
    restricted = reader(department={"3"})
    # Over the number of times after which the driver and the server keep the plan of a statement.
    for _ in range(12):
        assert seen(restricted) == {"three", "moved", "both"}
        assert seen(EVERYTHING) == set(stored)
    with pytest.raises(ZeroDivisionError), behind_wall(restricted):
        _ = 1 / 0
    assert seen(EVERYTHING) == set(stored)
    with transaction.atomic(using="audit"):
        assert seen(restricted) == {"three", "moved", "both"}
        assert seen(EVERYTHING) == set(stored)
        with connections["audit"].cursor() as cursor:
            cursor.execute("SELECT current_user, current_setting('auditlog.access')")
            assert cursor.fetchone() == (Role.READER.value, "")


@pytest.mark.postgres_versions
def test_without_the_setting_of_the_transaction_nothing_is_seen(
    stored: dict[str, uuid.UUID], connect_as: ConnectAs
) -> None:
    connection = connect_as(Role.READER)
    count = "SELECT count(*) FROM auditlog_auditlog"
    assert connection.execute(count).fetchone() == (len(stored),)

    connection.execute("SET ROLE auditlog_restricted")
    assert connection.execute(count).fetchone() == (0,)
    for value in ("", "{}", '{"models": ["doctors.doctor"]}', '{"labels": ["department:3"]}'):
        connection.execute("SELECT set_config('auditlog.access', %s, false)", [value])
        assert connection.execute(count).fetchone() == (0,), value
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM auditlog_auditlog")


@pytest.mark.postgres_versions
def test_no_partition_is_read_past_the_wall_a_new_one_neither(
    stored: dict[str, uuid.UUID], store: Store, connect_as: ConnectAs, owner_connection: psycopg.Connection[Any]
) -> None:
    known = partition_names(owner_connection)
    store(occurred_at=NEWEST - timedelta(days=900), object_repr="old", labels=["department:3"])
    new = partition_names(owner_connection) - known
    assert len(new) == 1
    assert seen(reader(department={"3"})) == {"three", "moved", "both", "old"}

    connection = connect_as(Role.READER)
    for role in (Role.READER, policies.RESTRICTED):
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for name in known | new:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))


def test_a_role_of_somebody_elses_goes_on_to_see_what_it_was_granted(
    stored: dict[str, uuid.UUID], connect_as: ConnectAs, owner_connection: psycopg.Connection[Any]
) -> None:
    owner_connection.execute("GRANT SELECT ON auditlog_auditlog TO auditlog_relay")
    try:
        count = connect_as(Role.RELAY).execute("SELECT count(*) FROM auditlog_auditlog").fetchone()
    finally:
        owner_connection.execute("REVOKE SELECT ON auditlog_auditlog FROM auditlog_relay")
    assert count == (len(stored),)


@pytest.mark.postgres_versions
def test_the_wall_costs_callers_who_may_see_everything_no_plan(
    stored: dict[str, uuid.UUID], connect_as: ConnectAs
) -> None:
    connection = connect_as(Role.READER)
    connection.execute("SET enable_seqscan = off")
    # GIN, whose operators are not leakproof: the first that row security would keep from being used.
    query = "EXPLAIN SELECT 1 FROM auditlog_auditlog WHERE subjects && ARRAY['doctors.patient:1']"
    plan = "\n".join(line for (line,) in connection.execute(query.encode()))

    assert "Index Cond: (subjects &&" in plan
    assert not {"current_user", "auditlog_access", "SubPlan", "InitPlan"} & set(plan.replace("(", " ").split())


def test_where_the_roles_do_not_exist_there_is_no_wall(stored: dict[str, uuid.UUID]) -> None:
    # The owner is no member of the restricted role, as the one role of a simple project.
    with acting_as(Role.OWNER), CaptureQueriesContext(connections["audit"]) as captured:
        assert seen(reader(department={"3"})) == set(stored)
    assert [query["sql"][:13] for query in captured if "set_config" in query["sql"]] == []


@pytest.fixture
def callers(user_of: UserOf) -> dict[str, APIClient]:
    """Programs of somebody who may see everything, and of somebody who may not."""
    found = {}
    for name in ("everything", "narrowed"):
        user = user_of(name)
        found[name] = APIClient()
        found[name].credentials(HTTP_AUTHORIZATION=f"Api-Key {api_keys.issue(user=user, name='test')}")
        if name == "narrowed":
            grants.give(AccessGrant(user=user, labels=["department:3"], reason="test"))
    return found


def test_what_is_hidden_and_what_does_not_exist_are_answered_alike(
    stored: dict[str, uuid.UUID], callers: dict[str, APIClient]
) -> None:
    absent, hidden = uuid.UUID(int=stored["four"].int ^ 1), stored["four"]
    paths = ("{}/", "{}/values/" + "a" * 64 + "/")
    # The first call finds out whether there is a wall, and the headers count calls.
    assert callers["narrowed"].get(EVENTS).status_code == 200
    counting = {"RateLimit-Remaining", "RateLimit-Reset"}

    for path in paths:
        answers = []
        for event_id in (absent, hidden):
            with (
                CaptureQueriesContext(connections["audit"]) as asked,
                CaptureQueriesContext(connections["default"]) as told,
            ):
                answer = callers["narrowed"].get(EVENTS + path.format(event_id), headers={"X-Request-ID": "the-same"})
            headers = {name: value for name, value in answer.headers.items() if name not in counting}
            answers.append((answer.status_code, answer.content, headers, len(asked), len(told)))
        assert answers[0] == answers[1]
        assert answers[0][0] == 404
    assert callers["everything"].get(f"{EVENTS}{hidden}/").status_code == 200
