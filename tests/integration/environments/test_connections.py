"""I2, I3: the same events through pools, poolers, server-side binding and other engines, and on other databases."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from auditlog.capture.compilers import install, installed_on
from auditlog.checks import check_compilers
from auditlog.roles import Role, create_roles
from auditlog.signals import outbox_written
from tests import database
from tests.conftest import Events
from tests.integration.capture.test_order import in_threads
from tests.integration.environments.backend.compiler import MARK
from tests.integration.environments.conftest import AddAlias
from tests.integration.environments.writes import WRITTEN, in_short, write_everything
from tests.samples.models import Country, Genre

pytestmark = pytest.mark.django_db(transaction=True)
ENGINE = "tests.integration.environments.backend"


@pytest.mark.postgres_versions
@pytest.mark.parametrize("options", [{"pool": {"min_size": 1, "max_size": 2}}, {"server_side_binding": True}])
def test_i3_pools_and_server_side_binding_change_no_event(
    options: dict[str, Any], add_alias: AddAlias, events: Events
) -> None:
    write_everything(add_alias("other_way", options=options, CONN_MAX_AGE=0))
    assert [in_short(event) for event in events()] == WRITTEN


def test_i2_a_pool_hands_connections_over_between_threads(add_alias: AddAlias, events: Events) -> None:
    alias = add_alias("pooled", options={"pool": {"min_size": 2, "max_size": 2}}, CONN_MAX_AGE=0)

    def write(number: int) -> None:
        for turn in range(10):
            Genre.objects.using(alias).create(name=f"{number}.{turn}")
            connections[alias].close()  # as at the end of a request: back into the pool

    in_threads(6, write)
    names = [event["after"]["name"] for event in events()]
    assert sorted(names) == sorted(f"{number}.{turn}" for number in range(6) for turn in range(10))


def test_i3_a_pooler_in_transaction_mode_changes_no_event(pgbouncer: int, add_alias: AddAlias, events: Events) -> None:
    alias = add_alias("pooler", PORT=pgbouncer, DISABLE_SERVER_SIDE_CURSORS=True)
    write_everything(alias)
    assert [in_short(event) for event in events()] == WRITTEN


def test_i3_sessions_that_share_a_servers_connection_do_not_mix(
    pgbouncer: int, add_alias: AddAlias, events: Events
) -> None:
    alias = add_alias("pooler", PORT=pgbouncer, DISABLE_SERVER_SIDE_CURSORS=True)

    def write(number: int) -> None:
        for turn in range(10):
            with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
                # What one session sets may meet another one.
                cursor.execute("SET DateStyle = 'German'; SET extra_float_digits = -15; SET bytea_output = 'escape'")
                Country.objects.using(alias).bulk_create(
                    [Country(code=f"c{number}", name=str(turn))],
                    update_conflicts=True,
                    unique_fields=["code"],
                    update_fields=["name"],
                )

    in_threads(4, write)
    lives: dict[str, list[Any]] = {}
    for event in events():
        names = [image and image["name"] for image in (event["before"], event["after"])]
        lives.setdefault(event["audit"]["object_pk"], []).append(names)
    turns = [None, *(str(turn) for turn in range(10))]
    assert lives == {f"c{number}": [list(pair) for pair in itertools.pairwise(turns)] for number in range(4)}


@pytest.mark.postgres_versions
def test_i2_an_engine_with_compilers_of_its_own_keeps_them(add_alias: AddAlias, events: Events) -> None:
    alias = add_alias("traced", ENGINE=ENGINE)
    connection = connections[alias]
    # It came after the applications were ready, and has compiled already: a check says what that means.
    assert connection.ops.compiler("SQLInsertCompiler").__module__ == f"{ENGINE}.compiler"
    assert not installed_on(connection)
    assert [(message.id, alias in message.msg) for message in check_compilers()] == [("auditlog.E003", True)]
    install()
    assert check_compilers() == []
    with CaptureQueriesContext(connection) as captured:
        write_everything(alias)
    assert [in_short(event) for event in events()] == WRITTEN
    writes = [text for query in captured if "auditlog_emit" in (text := query["sql"])]
    assert "pg_proc" in writes.pop(0)  # the functions are looked for once
    assert len(writes) == 19
    assert all(MARK in text for text in writes)


@pytest.fixture
def other_database(add_alias: AddAlias) -> Iterator[psycopg.Connection[Any]]:
    """A second database under the alias `other`, migrated; returns a connection of its owner."""
    name = f"test_other_{os.getpid()}"
    with psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True) as admin:
        create_roles(admin, database=name, passwords={})
        add_alias("other", NAME=name, USER=Role.OWNER.value)
        call_command("migrate", database="other", run_syncdb=True, verbosity=0, interactive=False, skip_checks=True)
        connections["other"].close()
        connections["other"].settings_dict["USER"] = Role.APP.value
        try:
            with psycopg.connect(database.role_address(Role.OWNER, database=name), autocommit=True) as owner:
                yield owner
        finally:
            connections["other"].close()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_i1_the_event_is_on_the_database_of_the_write(other_database: psycopg.Connection[Any], events: Events) -> None:
    woken: list[str] = []

    def listen(using: str, **_kwargs: Any) -> None:
        woken.append(using)

    outbox_written.connect(listen)
    try:
        with transaction.atomic(), transaction.atomic(using="other"):
            write_everything("other")
            Genre.objects.create(name="here")
        with transaction.atomic(using="other"):
            Genre.objects.create(name="here as well")
            Genre.objects.using("other").create(name="lost")
            transaction.set_rollback(True, using="other")
        country = Country.objects.create(code="AT", name="here first")
        country.save(using="other", force_insert=True)
        country.delete(using="other")
    finally:
        outbox_written.disconnect(listen)
    there = other_database.execute(
        "SELECT value::json, value::json -> 'source' ->> 'db' FROM auditlog_outboxevent ORDER BY id"
    )
    rows = there.fetchall()
    assert [in_short(event) for event, _ in rows[: len(WRITTEN)]] == WRITTEN
    assert [in_short(event)[:2] for event, _ in rows[len(WRITTEN) :]] == [
        ("country", "create"),
        ("country", "delete"),
    ]
    assert {db for _, db in rows} == {other_database.info.dbname}
    assert [event["after"]["name"] for event in events()] == ["here", "here as well", "here first"]
    assert woken == ["other", "default", "default", "default", "other", "other"]
